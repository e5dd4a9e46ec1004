import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { toCommandEnv } from '../../src/actors/command-env.ts'
import { type ExecOptions, execTool } from '../../src/actors/exec.ts'
import { createExecRoom } from '../support/exec-room.ts'
import { eventually, isAlive } from '../support/processes.ts'

// What would break these: output gathered in memory, and an environment that is passed on.

const { folder, execute, report, pidFile, remove } = await createExecRoom()
after(remove)

const source = (file: string) => new URL(`../../src/actors/${file}`, import.meta.url).href

test('a command has an exit code, stdout and stderr, in full', async () => {
  assert.deepEqual(await report('echo out; echo err >&2; exit 3'), {
    exitCode: 3,
    timedOut: false,
    stdout: 'out\n',
    stderr: 'err\n',
  })
})

test('a command that is not found is a result', async () => {
  const { exitCode, stderr } = await report('no-such-command-here')
  assert.equal(exitCode, 127)
  assert.match(stderr, /not found/)
})

test('a command that a signal ended says which', async () => {
  assert.deepEqual(await report('kill -KILL $$'), { exitCode: null, signal: 'SIGKILL', timedOut: false, stdout: '', stderr: '' })
})

test('stdin is empty', async () => {
  assert.equal((await report('cat; echo end')).stdout, 'end\n')
})

test('a command is given to the shell as it is', async () => {
  const text = ` printf '%s' "a  b" 'c"d' "\\$HOME" é; echo`
  assert.equal((await report(text)).stdout, `a  bc"d$HOMEé\n`)
})

test('a command runs in the folder of the tool, and a relative folder starts there', async () => {
  assert.equal((await report('mkdir -p sub; pwd -P')).stdout.trim(), await realFolder())
  assert.equal((await report('pwd -P', { cwd: 'sub' })).stdout.trim(), join(await realFolder(), 'sub'))
  assert.equal((await report('pwd -P', { cwd: '/' })).stdout.trim(), '/')
})

const realFolder = async () => (await report('pwd -P')).stdout.trim()

test('a folder that does not exist is an error result, and the command does not run', async () => {
  assert.deepEqual(await execute({ command: 'touch ran', cwd: 'missing' }), {
    content: `Tool \`exec\` failed: the folder \`${join(folder, 'missing')}\` does not exist; the command was not run`,
    isError: true,
  })
  await writeFile(join(folder, 'file'), '')
  assert.match((await execute({ command: 'true', cwd: 'file' })).content, /is not a folder; the command was not run$/)
})

test('a shell that does not exist is an error result', async () => {
  const { content, isError } = await execute({ command: 'true' }, { shell: '/no/such/shell' })
  assert.equal(isError, true)
  assert.match(content, /^Tool `exec` failed: The command could not be started: .*ENOENT/)
})

test('a command longer than the system takes is an error result', async () => {
  const { content, isError } = await execute({ command: `: ${'x'.repeat(4_000_000)}` })
  assert.equal(isError, true)
  assert.match(content, /could not be started: .*E2BIG/)
})

for (const input of [
  {},
  { command: '' },
  { command: 'a\0b' },
  { command: 'true', timeoutMs: 0 },
  { command: 'true', timeoutMs: 700_000 },
  { command: 'true', shell: 'zsh' },
]) {
  test(`arguments that do not fit are an error result: ${JSON.stringify(input)}`, async () => {
    const { content, isError } = await execute(input)
    assert.equal(isError, true)
    assert.match(content, /^The arguments of `exec` do not fit:\n- /)
  })
}

test('a command with 500 MB of output is read to its end in bounded memory, and the cut is exact', async () => {
  const total = 500_000_000
  let peak = 0
  const sample = () => {
    const { arrayBuffers, heapUsed } = process.memoryUsage()
    peak = Math.max(peak, arrayBuffers + heapUsed)
  }
  sample()
  const start = peak
  const timer = setInterval(sample, 10)
  const { stdout, exitCode, cutBytes } = await report(`yes | head -c ${total}`)
  clearInterval(timer)
  sample()
  const kept = 64 * 1024
  assert.equal(exitCode, 0)
  assert.deepEqual(cutBytes, { stdout: total - kept })
  const half = 'y\n'.repeat(kept / 4)
  assert.equal(stdout, `${half}\n[… ${total - kept} of ${total} bytes cut …]\n${half}`)
  assert.ok(peak - start < 150_000_000, `${peak - start} bytes more`)
})

test('a command that never stops printing ends at its time limit, on both streams', async () => {
  const { timedOut, stdout, stderr, cutBytes, note } = await report(
    'yes & yes err >&2',
    { timeoutMs: 300 },
    { maxOutputBytes: 100 },
  )
  assert.equal(timedOut, true)
  assert.match(stdout, /^(y\n)+\n\[… \d+ of \d+ bytes cut …\]\n[y\n]+$/)
  assert.match(stderr, /^(err\n)+/)
  assert.ok((cutBytes?.stdout ?? 0) > 0 && (cutBytes?.stderr ?? 0) > 0)
  assert.equal(note, 'The command did not end within 300 ms and was ended.')
})

test('zeros without end are bounded, and are not shown', async () => {
  const { stdout, cutBytes } = await report('head -c 10000000 /dev/zero')
  assert.equal(stdout, '[10000000 bytes of binary output, not shown]')
  assert.deepEqual(cutBytes, { stdout: 10_000_000 - 64 * 1024 })
})

test('bytes that are not UTF-8 are shown as replacement characters when they are few', async () => {
  assert.equal((await report("printf 'Stra\\337e in Latin-1'")).stdout, 'Stra\ufffde in Latin-1')
})

test('colours and progress bars are text', async () => {
  assert.equal((await report("printf '\\033[31mred\\033[0m\\r50%%\\b'")).stdout, '\u001b[31mred\u001b[0m\r50%\b')
})

test('output of the worst kind is still whole JSON', async () => {
  // Every other byte needs six in JSON, and both streams are full.
  const { stdout, stderr } = await report(`yes "$(printf '\\033')" | head -c 65536; yes '"' | head -c 65536 >&2`)
  assert.equal(stdout.length, 65_536)
  assert.equal(stderr.length, 65_536)
})

test('a command gets no variable of ours that is not on the list, and those that it is given', async () => {
  const secrets = { OPENAI_API_KEY: 'sk-canary-1', ANTHROPIC_API_KEY: 'sk-canary-2', PERDURE_CANARY: 'sk-canary-3' }
  const before = { ...process.env }
  Object.assign(process.env, secrets, { LC_ALL: 'C' })
  try {
    const { stdout } = await report(
      'env; echo "$OPENAI_API_KEY$ANTHROPIC_API_KEY"',
      {},
      { env: { GREETING: 'hello', TZ: 'Asia/Tokyo' } },
    )
    assert.doesNotMatch(stdout, /canary|API_KEY/)
    assert.match(stdout, /^GREETING=hello$/m)
    assert.match(stdout, /^TZ=Asia\/Tokyo$/m)
    assert.match(stdout, /^LC_ALL=C$/m)
    assert.ok(stdout.split('\n').includes(`PATH=${process.env.PATH}`))
    assert.deepEqual(
      Object.keys(toCommandEnv({}, { ...secrets, PATH: '/bin', HOME: '/root', NODE_OPTIONS: '-r x', LC_CTYPE: 'C', path: 'x' })),
      ['PATH', 'HOME', 'LC_CTYPE'],
    )
  } finally {
    for (const name of [...Object.keys(secrets), 'LC_ALL']) delete process.env[name]
    Object.assign(process.env, before)
  }
})
const wrong: readonly (readonly [ExecOptions, RegExp])[] = [
  [{ timeoutMs: 0 }, /^Expected `timeoutMs` to be an integer from 1 to 2147483647, got `0` \(number\)$/],
  [{ timeoutMs: 2 ** 31 }, /`timeoutMs`/],
  [{ maxOutputBytes: 1.5 }, /`maxOutputBytes`/],
  [{ env: { TOKEN: 'secret\0' } }, /^Expected `env\.TOKEN` to be a string without NUL characters$/],
  [{ cwd: 'a\0' }, /`cwd`/],
]

for (const [options, message] of wrong) {
  test(`a wrong option is a TypeError: ${JSON.stringify(options)}`, () => {
    assert.throws(() => execTool(options), { name: 'TypeError', message })
  })
}

async function runScript(text: string): Promise<{ readonly code: number | null; readonly stdout: string }> {
  const child = spawn(process.execPath, ['--conditions=perdure/source', '--input-type=module', '-e', text], {
    stdio: ['ignore', 'pipe', 'inherit'],
    cwd: folder,
  })
  let stdout = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk
  })
  const [code] = await once(child, 'close')
  return { code, stdout }
}

test('execa is loaded by the first command, not by the import', async () => {
  const { stdout } = await runScript(`
    import { registerHooks } from 'node:module'
    const seen = []
    registerHooks({ resolve: (specifier, context, next) => (seen.push(specifier), next(specifier, context)) })
    const { execTool } = await import('${source('exec.ts')}')
    const exec = execTool()
    const before = seen.includes('execa')
    await exec.execute('{"command":"true"}', { signal: new AbortController().signal, key: 'k', attempt: 1, callId: 'c' })
    console.log(JSON.stringify([before, seen.includes('execa')]))
  `)
  assert.deepEqual(JSON.parse(stdout), [false, true])
})

test('nothing is left that keeps the process alive or its signals caught', async () => {
  const { code, stdout } = await runScript(`
    import { execTool } from '${source('exec.ts')}'
    const controller = new AbortController()
    const context = { signal: controller.signal, key: 'k', attempt: 1, callId: 'c' }
    const exec = execTool()
    // The pipes of our own output are there from the first look at them.
    process.stdout.write('')
    process.stderr.write('')
    const idle = process.getActiveResourcesInfo().length
    await exec.execute('{"command":"sleep 2 & true"}', context)
    await exec.execute('{"command":"echo hello"}', context)
    // Closed handles leave the list a few turns of the event loop later.
    const left = () => process.getActiveResourcesInfo().filter((name) => name !== 'Immediate').length
    for (let turn = 0; turn < 100 && left() > idle; turn++) await new Promise((resolve) => setImmediate(resolve))
    console.log(JSON.stringify([left() - idle, process.listenerCount('SIGTERM'), process.listenerCount('exit')]))
  `)
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), [0, 0, 0])
})

test('a command ends when our process exits', async () => {
  const { path, read } = pidFile(1)
  const running = runScript(`
    import { existsSync } from 'node:fs'
    import { execTool } from '${source('exec.ts')}'
    const context = { signal: new AbortController().signal, key: 'k', attempt: 1, callId: 'c' }
    execTool().execute(${JSON.stringify(JSON.stringify({ command: `sleep 1000 & echo $! > ${path}; wait` }))}, context)
    setInterval(() => { if (existsSync(${JSON.stringify(path)})) process.exit(7) }, 5)
  `)
  const [pid = 0] = await read()
  assert.equal((await running).code, 7)
  await eventually(`${pid} is dead`, () => !isAlive(pid) || undefined)
})
