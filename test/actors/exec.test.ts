import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createBoundedOutput } from '../../src/actors/bounded-output.ts'
import { toCommandEnv } from '../../src/actors/command-env.ts'
import { type ExecOptions, execTool } from '../../src/actors/exec.ts'
import { endGroup } from '../../src/actors/process-group.ts'
import { isPerdureError } from '../../src/errors.ts'

// What would break these: a kill of the shell alone, a wait for the end of output that a background process holds open, output
// gathered in memory, an environment that is passed on.

const source = (file: string) => new URL(`../../src/actors/${file}`, import.meta.url).href

let folder = ''
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'perdure-exec-'))
})
after(() => rm(folder, { recursive: true, force: true }))

interface Report {
  readonly exitCode: number | null
  readonly signal?: string
  readonly timedOut: boolean
  readonly stdout: string
  readonly stderr: string
  readonly cutBytes?: { readonly stdout?: number; readonly stderr?: number }
  readonly note?: string
}

function execute(input: Record<string, unknown>, options?: ExecOptions, signal = new AbortController().signal) {
  return execTool({ cwd: folder, ...options }).execute(JSON.stringify(input), { signal, key: 'key', attempt: 1, callId: 'call' })
}

async function report(command: string, input: Record<string, unknown> = {}, options?: ExecOptions): Promise<Report> {
  const { content, isError } = await execute({ command, ...input }, options)
  assert.equal(isError, false, content)
  return JSON.parse(content)
}

/** Asks again until it holds; the time is a bound for a broken build, not a window. */
async function eventually<Value>(what: string, probe: () => Value | undefined | Promise<Value | undefined>): Promise<Value> {
  const deadline = performance.now() + 20_000
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) assert.fail(`never: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** A zombie is dead: it only waits for the first process of the machine to clear it away. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  if (process.platform !== 'linux') return true
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
  } catch {
    return false
  }
}

const dead = (pid: number) => eventually(`${pid} is dead`, () => !isAlive(pid) || undefined)

let files = 0
/** A file for process ids, and a reader that waits until `count` of them are in it. */
function pidFile(count: number) {
  const path = join(folder, `pids-${files++}`)
  const read = () =>
    eventually(`${count} pids in ${path}`, async () => {
      const text = await readFile(path, 'utf8').catch(() => '')
      const pids = text.trim().split(/\s+/).map(Number)
      return text.endsWith('\n') && pids.length === count ? pids : undefined
    })
  return { path, read }
}

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

test('a character is not cut in two, wherever the cut is', () => {
  const bytes = Buffer.from('aé€😀'.repeat(30))
  for (let limit = 2; limit < bytes.length; limit++) {
    for (const size of [1, 3, 7, bytes.length]) {
      const output = createBoundedOutput(limit)
      for (let at = 0; at < bytes.length; at += size) output.write(bytes.subarray(at, at + size))
      const { text, totalBytes, cutBytes } = output.toText()
      assert.doesNotMatch(text, /\ufffd/)
      assert.equal(totalBytes, bytes.length)
      const marker = `\n[… ${cutBytes} of ${totalBytes} bytes cut …]\n`
      assert.ok(text.includes(marker), text)
      assert.equal(Buffer.byteLength(text.replace(marker, '')), totalBytes - cutBytes)
    }
  }
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

test('a time limit ends the whole process group', async () => {
  const { path, read } = pidFile(3)
  const { timedOut, exitCode, signal, stdout } = await report(
    `echo before; sh -c 'sleep 1000 & echo $! >> ${path}; echo $$ >> ${path}; wait' & sleep 1000 & echo $! >> ${path}; wait`,
    { timeoutMs: 500 },
  )
  assert.deepEqual(
    { timedOut, exitCode, signal, stdout },
    { timedOut: true, exitCode: null, signal: 'SIGTERM', stdout: 'before\n' },
  )
  for (const pid of await read()) assert.equal(isAlive(pid), false)
})

test('an abort ends the whole process group before it throws ABORTED', async () => {
  const { path, read } = pidFile(2)
  const controller = new AbortController()
  const running = execute({ command: `sleep 1000 & echo $! $$ > ${path}; sleep 1000` }, {}, controller.signal)
  const pids = await read()
  for (const pid of pids) assert.equal(isAlive(pid), true)
  controller.abort()
  await assert.rejects(running, (error) => isPerdureError(error, 'ABORTED') && error.details.groupEnded === true)
  for (const pid of pids) assert.equal(isAlive(pid), false)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
})

test('a process that ignores SIGTERM is killed', async () => {
  const { path, read } = pidFile(2)
  const controller = new AbortController()
  const command = `trap '' TERM; (while :; do sleep 1; done) & echo $! $$ > ${path}; while :; do sleep 1; done`
  const running = execute({ command }, {}, controller.signal)
  const pids = await read()
  controller.abort()
  await assert.rejects(running, (error) => isPerdureError(error, 'ABORTED'))
  for (const pid of pids) assert.equal(isAlive(pid), false)
})

test('a command that is aborted before it starts does not run', async () => {
  await assert.rejects(execute({ command: 'touch started' }, {}, AbortSignal.abort()), (error) =>
    isPerdureError(error, 'ABORTED'),
  )
  await assert.rejects(readFile(join(folder, 'started')), { code: 'ENOENT' })
})

test('an abort between the call and the start of the process does not run the command', async () => {
  const controller = new AbortController()
  const running = execute({ command: 'touch raced' }, {}, controller.signal)
  controller.abort()
  await assert.rejects(running, (error) => isPerdureError(error, 'ABORTED'))
  await assert.rejects(readFile(join(folder, 'raced')), { code: 'ENOENT' })
})

test('a background process that holds the output open does not hold the result, and goes on', async () => {
  const { path, read } = pidFile(1)
  const { exitCode, timedOut, stdout, note } = await report(`sleep 1000 & echo $! > ${path}; echo started`, {
    timeoutMs: 600_000,
  })
  const [pid = 0] = await read()
  try {
    assert.deepEqual({ exitCode, timedOut, stdout }, { exitCode: 0, timedOut: false, stdout: 'started\n' })
    assert.match(note ?? '', /^A process that the command left in the background still runs/)
    assert.equal(isAlive(pid), true)
  } finally {
    process.kill(pid, 'SIGKILL')
  }
})

test('all that the shell printed is read although a background process never stops printing', async () => {
  const { path, read } = pidFile(1)
  // The last words come after `yes` has filled the pipe; that it gets SIGPIPE afterwards shows that the pipe was closed.
  const { exitCode, stderr } = await report(
    `yes & echo $! > ${path}; i=0; while [ $i -lt 2000 ]; do echo line $i >&2; i=$((i+1)); done`,
  )
  assert.equal(exitCode, 0)
  assert.equal(stderr.split('\n').at(-2), 'line 1999')
  const [pid = 0] = await read()
  await dead(pid)
})

test('what a background process prints shortly after the shell has exited is read', async () => {
  const { stdout, note } = await report('(sleep 0.05; echo late) & echo early')
  assert.equal(stdout, 'early\nlate\n')
  assert.equal(note, undefined)
})

test('a background process with its output in a file is not mentioned and goes on', async () => {
  const { path, read } = pidFile(1)
  const { stdout, note } = await report(`sleep 1000 > /dev/null 2>&1 & echo $! > ${path}; echo started`)
  const [pid = 0] = await read()
  assert.equal(isAlive(pid), true)
  process.kill(pid, 'SIGKILL')
  assert.deepEqual({ stdout, note }, { stdout: 'started\n', note: undefined })
})

test('a time limit after the shell has exited ends what holds the output open', async () => {
  const { path, read } = pidFile(1)
  // The shell exits at once; the limit is shorter than the wait for its output.
  const { timedOut } = await report(`sleep 1000 & echo $! > ${path}`, { timeoutMs: 100 })
  const [pid = 0] = await read()
  assert.equal(timedOut, true)
  assert.equal(isAlive(pid), false)
})

test('a process that left the group cannot hold the result of an ended command', {
  skip: process.platform !== 'linux' && 'setsid is from Linux',
}, async () => {
  const { path, read } = pidFile(1)
  const { timedOut } = await report(`setsid sh -c 'echo $$ > ${path}; sleep 1000' & sleep 1000`, { timeoutMs: 300 })
  const [pid = 0] = await read()
  assert.equal(timedOut, true)
  process.kill(-pid, 'SIGKILL')
})

test('a group of which only zombies are left is gone', {
  skip: process.platform !== 'linux' && 'the state is read from /proc',
}, async () => {
  // With job control the inner sleep has a group of its own, and its parent becomes a program that never waits for it.
  const { path, read } = pidFile(1)
  const parent = spawn('/bin/sh', ['-c', `set -m; sleep 1000 & echo $! > ${path}; exec sleep 1000`], {
    stdio: 'ignore',
    detached: true,
  })
  try {
    const [pid = 0] = await read()
    assert.equal(await endGroup(pid), true)
    assert.equal(process.kill(pid, 0), true)
  } finally {
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  }
})

test('fifty commands at once keep to themselves', async () => {
  const reports = await Promise.all(Array.from({ length: 50 }, (_, index) => report(`echo ${index}`)))
  assert.deepEqual(
    reports.map(({ stdout }) => stdout),
    reports.map((_, index) => `${index}\n`),
  )
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
  await dead(pid)
})
