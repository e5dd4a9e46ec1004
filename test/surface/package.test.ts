/** The package as a user gets it: packed, installed in an empty project, type-checked and run there. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = fileURLToPath(new URL('../..', import.meta.url))
const limitBytes = 2_000_000

interface Packed {
  readonly filename: string
  /** Bytes of the tarball. */
  readonly size: number
  readonly files: readonly { readonly path: string }[]
}

/** Runs a command to its end; an error holds what it printed. */
async function run(cwd: string, command: string, ...args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, maxBuffer: 64 * 1024 * 1024 })
    return stdout
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string } // what execFile's errors hold
    throw new Error(`${command} ${args.join(' ')} failed:\n${stdout}\n${stderr}`, { cause: error })
  }
}

const program = `
const { buildAgent, isPerdureError, openRuntime } = require('perdure')
const { scriptedModel } = require('perdure/testing')
const { setup } = require('xstate')

const machine = setup({}).createMachine({
  id: 'door',
  initial: 'shut',
  states: { shut: { on: { open: 'open' } }, open: { type: 'final' } },
  output: 'opened',
})

async function main() {
  const agent = buildAgent({ name: 'a', systemPrompt: '', model: 'm' }, { model: scriptedModel(['Hello.']) })
  const { output } = await agent.run('Hi')
  const runtime = await openRuntime({ directory: 'doors', machines: [machine], log: 'silent' })
  const run = await runtime.start(machine, { id: 'front' })
  await run.send({ type: 'open' })
  console.log(output, isPerdureError(new Error()), await run.done())
  await runtime.close()
}
main()
`

/** What of the package is a process of its own, or a file: the supervisor of a command, a life that is killed. */
const processes = `
import { buildAgent, openRuntime } from 'perdure'
import { exploreCrashes, scriptedModel } from 'perdure/testing'

const command = { name: 'exec', arguments: { command: "tr '\\\\0' ' ' < /proc/$PPID/cmdline" } }
const model = scriptedModel(({ messages }) => (messages.at(-1).role === 'tool' ? messages.at(-1).content : { toolCalls: [command] }))
const agent = buildAgent({ name: 'a', systemPrompt: '', model: 'm', allowedTools: ['exec'] }, { model })
const runtime = await openRuntime({ directory: 'commands', log: 'silent' })
const { output } = await runtime.durable(agent).run('Who starts you?')
await runtime.close()
const report = await exploreCrashes(new URL('./subject.mjs', import.meta.url), { process: true, pairs: 0 })
console.log(JSON.stringify({ supervisor: /dist\\/supervisor\\.js/.test(output), deaths: report.deaths > 4 }))
`
const subject = `
export const subject = async (life) => {
  const runtime = await life.open()
  const order = runtime.flow('order', (item, { step }) => step('pay', ({ key }) => life.outside.effect('payment', key)))
  return order.run('book')
}
`

/** What `perdure doctor --app` reads: a later release, in which the door has no state `shut`. */
const release = `
import { setup } from 'xstate'
export const machines = [setup({}).createMachine({ id: 'door', initial: 'closed', states: { closed: {} } })]
`

const compilerOptions = {
  target: 'es2024',
  lib: ['es2024', 'esnext.disposable'],
  strict: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false, // ours are checked too; XState's need `exactOptionalPropertyTypes` off
  noEmit: true,
  types: ['node'],
  typeRoots: [join(root, 'node_modules/@types')],
}

test('the packed package works in an empty project, for TypeScript and CommonJS', { timeout: 900_000 }, async (t) => {
  const project = await mkdtemp(join(tmpdir(), 'perdure-package-'))
  t.after(() => rm(project, { recursive: true, force: true }))
  const npm = (...args: readonly string[]) => run(args[0] === 'pack' ? root : project, 'npm', ...args)

  // `npm pack` builds first. What the build prints is before the JSON.
  const printed = await npm('pack', '--json', '--pack-destination', project)
  const [packed] = JSON.parse(printed.slice(printed.search(/^\[/m))) as readonly Packed[]
  assert.ok(packed)
  t.diagnostic(`${packed.filename}: ${packed.size} bytes, ${packed.files.length} files`)

  await t.test('it holds built files, sources and papers only', () => {
    const allowed =
      /^(dist\/.*\.(js|d\.ts)(\.map)?|dist\/page\/[^/]+\.(html|css|md)|src\/.*\.ts|LICENSE|README\.md|CHANGELOG\.md|package\.json)$/
    const paths = packed.files.map(({ path }) => path)
    assert.deepEqual(
      paths.filter((path) => !allowed.test(path)),
      [],
    )
    for (const path of ['LICENSE', 'README.md', 'CHANGELOG.md', 'dist/index.js', 'dist/index.d.ts', 'src/index.ts'])
      assert.ok(paths.includes(path), `${path} is missing`)
    assert.ok(packed.size < limitBytes, `${packed.size} bytes are more than ${limitBytes}`)
  })

  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'app', private: true, type: 'module' }))
  await npm('install', '--prefer-offline', '--no-audit', '--no-fund', join(project, packed.filename))
  await copyFile(join(root, 'test/support/package-app.ts'), join(project, 'app.ts'))
  await writeFile(join(project, 'app.cjs'), program)

  const resolutions = [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ] as const
  for (const [module, moduleResolution] of resolutions) {
    await t.test(`a strict program compiles with moduleResolution ${moduleResolution}`, async () => {
      const config = { compilerOptions: { ...compilerOptions, module, moduleResolution }, files: ['app.ts'] }
      await writeFile(join(project, `tsconfig.${moduleResolution}.json`), JSON.stringify(config))
      const compiler = join(root, 'node_modules/typescript/bin/tsc')
      await run(project, process.execPath, compiler, '-p', `tsconfig.${moduleResolution}.json`)
    })
  }

  await t.test('a durable flow resumes, with the built files', async () => {
    assert.deepEqual(JSON.parse(await run(project, process.execPath, 'app.ts')), {
      failure: 'broken',
      output: 'The sum is 42. It was easy.',
      added: 1,
      requests: 3,
      reused: 2,
      code: 'TOOL_UNKNOWN',
    })
  })

  await t.test('a CommonJS program can require it', async () => {
    assert.equal(await run(project, process.execPath, 'app.cjs'), 'Hello. false opened\n')
  })

  await t.test('what is a process of its own is found', { skip: process.platform !== 'linux' && 'it reads /proc' }, async () => {
    await writeFile(join(project, 'processes.mjs'), processes)
    await writeFile(join(project, 'subject.mjs'), subject)
    assert.deepEqual(JSON.parse(await run(project, process.execPath, 'processes.mjs')), { supervisor: true, deaths: true })
  })

  await t.test('the command `perdure` is installed with it', async () => {
    await writeFile(join(project, 'release.ts'), release)
    const command = join(project, 'node_modules/.bin/perdure')
    assert.match(await run(project, command, '--help'), /doctor/)
    const printed = await run(project, command, 'doctor', '--dir', 'doors', '--app', './release.ts')
    assert.match(printed, /0 live runs|no live runs/i)
  })

  await t.test('the dashboard has its page', async () => {
    const dashboard = spawn(
      process.execPath,
      [join(project, 'node_modules/perdure/dist/perdure.js'), 'dashboard', '--dir', 'doors'],
      {
        cwd: project,
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    )
    t.after(() => void dashboard.kill())
    const [printed] = await once(dashboard.stdout.setEncoding('utf8'), 'data')
    const [url] = /http:\S+/.exec(printed) ?? []
    assert.ok(url, printed)
    const page = await fetch(url, { redirect: 'manual' })
    const cookie = page.headers.get('set-cookie')?.split(';')[0] ?? ''
    assert.match(await (await fetch(new URL('/', url), { headers: { cookie } })).text(), /<script type="module"/)
    dashboard.kill()
    await once(dashboard, 'exit')
  })
})
