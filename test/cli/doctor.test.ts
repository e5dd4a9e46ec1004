import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, writeFile } from 'node:fs/promises'
import { after, describe, it } from 'node:test'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { openRuntime } from 'perdure'
import { type DoctorCommand, runDoctor } from '../../src/cli/doctor.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { createMachineStore, release } from '../support/machine-store.ts'
import { runProgram } from '../support/program.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const support = JSON.stringify(new URL('../support/machine-store.ts', import.meta.url).href)
/** A module of the next release, as its author writes it. */
async function writeApp(body: string): Promise<string> {
  const file = `${room.path('app')}.ts`
  await writeFile(file, `import { release } from ${support}\n${body}\n`)
  return file
}

const order1 = release('order', '1', { waiting: {} })
const runs = [
  { id: 'run 1', machine: order1 },
  { id: 'run 2', machine: release('order', '2', { paying: {} }) },
  { id: 'run 3\u202e', machine: release('old', '1', { on: {} }) },
] as const

async function run(command: DoctorCommand): Promise<{ code: number; out: string[]; err: string }> {
  const said = { out: '', err: '' }
  const code = await runDoctor(command, {
    out(text) {
      said.out += text
    },
    err(text) {
      said.err += text
    },
  })
  return { code, out: said.out.split('\n').slice(0, -1), err: said.err }
}

const dir = room.path()
await createMachineStore(dir, runs)

const parking = await writeApp(`export const machines = [release('order', '2', { paying: {} })]`)
const migrating = await writeApp(`
  const migrate = (snapshot: object): object => ({ ...snapshot, value: 'paying' })
  export const machines = [{ machine: release('order', '2', { paying: {} }), migrate }, release('old', '1', { on: {} })]`)
const failing = await writeApp(`
  const migrate = () => { throw new Error('boom') }
  export const machines = [{ machine: release('order', '2', { paying: {} }), migrate }]`)

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
/** A program that hands its arguments on: `runProgram` has none. */
const start = async (args: readonly string[], env: Readonly<Record<string, string>> = {}) => {
  const file = `${room.path('start')}.ts`
  await writeFile(
    file,
    `process.argv.push(...${JSON.stringify(args)})\nawait import(${JSON.stringify(pathToFileURL(main).href)})\n`,
  )
  return runProgram(file, { cwd: room.root, env })
}

describe('`perdure doctor`', () => {
  it('prints a line for each run that does not continue, and a summary', async () => {
    const { code, out, err } = await run({ dir, app: parking })
    assert.deepEqual(out, [
      'run 1 (order, version 1): parks. Missing: state `order.waiting`',
      'run 3� (old, version 1): unknown. The run `run 3�` needs the machine `old`, which is not registered. Add it to `machines` of `openRuntime`.',
      '3 live runs: 1 continue, 0 migrate, 1 park, 1 unknown, 0 unreadable',
    ])
    assert.deepEqual([code, err], [1, ''])
  })

  it('is content when every run continues or migrates', async () => {
    const { code, out } = await run({ dir, app: migrating })
    assert.deepEqual(out, [
      'run 1 (order, version 1): migrates',
      '3 live runs: 2 continue, 1 migrate, 0 park, 0 unknown, 0 unreadable',
    ])
    assert.equal(code, 0)
  })

  it('says why a migration failed', async () => {
    const { code, out } = await run({ dir, app: failing })
    assert.match(out[0] ?? '', /^run 1 \(order, version 1\): parks\. The run `run 1` was not migrated .*`migrate` threw: boom/)
    assert.equal(code, 1)
  })

  it('prints every live run as JSON, safe for a terminal', async () => {
    const { code, out } = await run({ dir, app: parking, json: true })
    const reports = out.map((line) => JSON.parse(line))
    assert.deepEqual(
      reports.map(({ runId, machine, verdict, missing }) => [runId, machine, verdict, missing]),
      [
        ['run 1', 'order', 'park', ['state `order.waiting`']],
        ['run 2', 'order', 'continue', undefined],
        ['run 3\u202e', 'old', 'unknown', undefined],
      ],
    )
    assert.equal(reports[0].version.declared, '1')
    assert.equal(reports[2].error.code, 'MACHINE_UNKNOWN')
    assert.doesNotMatch(out.join(''), /\u202e/)
    assert.equal(code, 1)
  })

  it('says in one line why it can say nothing, with code 2', async () => {
    const nowhere = room.path('nowhere')
    const none = await writeApp('export const machine = 5')
    const broken = await writeApp(`throw new Error('first line\\nsecond line')`)
    const twice = await writeApp(`export const machines = [release('a', '1', { x: {} }), release('a', '1', { x: {} })]`)
    const foreign = await writeApp(`export const machines = [{}]`)
    for (const [command, message] of [
      [{ dir: nowhere, app: parking }, /^perdure doctor: STORE_PATH_INVALID: There is no store at /],
      [{ dir, app: './none/such.ts' }, /^perdure doctor: The module \.\/none\/such\.ts cannot be loaded: Cannot find module/],
      [{ dir, app: broken }, /cannot be loaded: first line\n$/],
      [{ dir, app: none }, /to export `machines`, an array as for `openRuntime`, got undefined/],
      [{ dir, app: twice }, /^perdure doctor: MACHINE_DUPLICATE: /],
      [{ dir, app: foreign }, /^perdure doctor: Expected `machines\[0\]` to be an XState machine/],
    ] as const) {
      const { code, out, err } = await run(command)
      assert.match(err, message)
      assert.equal(err.indexOf('\n'), err.length - 1, err)
      assert.deepEqual([code, out], [2, []])
    }
    await assert.rejects(readdir(nowhere), { code: 'ENOENT' })
  })

  it('says the same while an app has the store open', async () => {
    const apps = [parking, migrating, failing]
    const sayAll = async () => {
      const said = []
      for (const app of apps) said.push(await run({ dir, app, json: true }))
      return said
    }
    const closed = await sayAll()
    await using _runtime = await openRuntime({ directory: dir, log: 'silent', autoResume: false })
    assert.deepEqual(await sayAll(), closed)
  })

  it('takes the key of an encrypted store from the environment', async () => {
    const encrypted = room.path('encrypted')
    const key = randomBytes(32)
    const runtime = await openRuntime({ directory: encrypted, machines: [order1], log: 'silent', encryption: { key } })
    await runtime.start(order1, { id: 'run 1' })
    await runtime.close()
    const withKey = (text: string) => start(['doctor', '--dir', encrypted, '--app', parking], { PERDURE_KEY: text })
    const [right, wrong, none] = [
      await withKey(key.toString('base64')),
      await withKey(randomBytes(32).toString('base64')),
      await withKey(''),
    ]
    assert.match(right.stdout, /^run 1 \(order, version 1\): parks\..*\n1 live run: /)
    assert.match(wrong.stderr, /^perdure doctor: ENCRYPTION_KEY_WRONG: /)
    assert.match(none.stderr, /^perdure doctor: ENCRYPTION_KEY_REQUIRED: .*PERDURE_KEY/)
    assert.deepEqual([right.exitCode, wrong.exitCode, none.exitCode], [1, 2, 2])
  })

  it('says who has the store open and cannot be asked', async () => {
    await using _store = await openLevelStore(dir)
    const { code, err } = await run({ dir, app: parking })
    assert.match(err, /^perdure doctor: STORE_LOCKED: .*\(\d+\)/)
    assert.equal(code, 2)
  })
})

describe('the command as a process', () => {
  it('ends with the code of what it found, even if the app keeps something open', async () => {
    const open = await writeApp(`
      setInterval(() => {}, 1000)
      export const machines = [release('order', '2', { paying: {} })]`)
    const { exitCode, stdout, stderr } = await start(['doctor', '--dir', dir, '--app', open])
    assert.match(stdout, /^run 1 .*\nrun 3.*\n3 live runs: 1 continue, .*\n$/)
    assert.deepEqual([exitCode, stderr], [1, ''])
  })

  it('takes the directory from PERDURE_DIR, and the app relative to where it is called', async () => {
    const { exitCode, stdout, stderr } = await start(
      ['doctor', '--app', `./${migrating.slice(room.root.length + 1)}`, '--json'],
      {
        PERDURE_DIR: dir,
      },
    )
    assert.equal(stdout.split('\n').length, 4)
    assert.deepEqual([exitCode, stderr], [0, ''])
  })

  it('ends with 2 when it is used wrongly, and 0 when asked for help', async () => {
    for (const [args, message] of [
      [[], /Usage: perdure/],
      [['doktor'], /unknown command 'doktor'/],
      [['doctor', '--dir', dir], /required option '--app <module>'/],
      [['doctor', '--app', parking], /required option '--dir <directory>'/],
      [['doctor', '--dir', dir, '--app', parking, '--fix'], /unknown option '--fix'/],
      [['doctor', '--dir', dir, '--app', './nothing.ts'], /The module \.\/nothing\.ts cannot be loaded/],
    ] as const) {
      const { exitCode, stdout, stderr } = await start(args)
      assert.match(stderr, message)
      assert.doesNotMatch(stderr, /^\s+at /m)
      assert.deepEqual([exitCode, stdout], [2, ''])
    }
    const help = await start(['doctor', '--help'])
    assert.match(help.stdout, /PERDURE_DIR[\s\S]*Exit codes: 0/)
    assert.equal(help.exitCode, 0)
  })
})
