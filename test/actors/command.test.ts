import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runCommand } from '../../src/actors/command.ts'
import { isPerdureError } from '../../src/errors.ts'
import { createExecRoom } from '../support/exec-room.ts'
import { eventually, isAlive } from '../support/processes.ts'

// What would break these: a kill of the shell alone, and a wait for the end of output that a background process holds open.

const { folder, execute, report, pidFile, remove } = await createExecRoom()
after(remove)

const dead = (pid: number) => eventually(`${pid} is dead`, () => !isAlive(pid) || undefined)

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

test('an abort while the way to start it is loaded does not start a process', async () => {
  const controller = new AbortController()
  const command = { text: 'true', cwd: folder, env: {}, shell: true, timeoutMs: 1000, maxOutputBytes: 10 } as const
  const running = runCommand(command, controller.signal)
  controller.abort()
  await assert.rejects(running, { name: 'AbortError' })
})

test('a command that ends by itself leaves no listener on the signal', async () => {
  const { signal } = new AbortController()
  await execute({ command: 'true' }, {}, signal)
  assert.equal(getEventListeners(signal, 'abort').length, 0)
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

test('what was printed before the wait for output ended is read although our process was busy', async () => {
  const { path, read } = pidFile(2)
  const [go, printed] = [join(folder, 'go'), join(folder, 'printed')]
  const background = `until [ -e ${go} ]; do sleep 0.01; done; echo late; touch ${printed}; exec sleep 1000`
  const running = report(`(${background}) & echo $! $$ > ${path}; echo early`)
  const [pid = 0, shell = 0] = await read()
  // Once the id is unknown the exit was seen, and the wait has begun.
  await eventually('the exit of the shell', () => {
    try {
      process.kill(shell, 0)
      return undefined
    } catch {
      return true
    }
  })
  writeFileSync(go, '')
  const pause = new Int32Array(new SharedArrayBuffer(4))
  while (!existsSync(printed)) Atomics.wait(pause, 0, 0, 10)
  Atomics.wait(pause, 0, 0, 300)
  const { stdout } = await running
  process.kill(pid, 'SIGKILL')
  assert.equal(stdout, 'early\nlate\n')
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
test('fifty commands at once keep to themselves', async () => {
  const reports = await Promise.all(Array.from({ length: 50 }, (_, index) => report(`echo ${index}`)))
  assert.deepEqual(
    reports.map(({ stdout }) => stdout),
    reports.map((_, index) => `${index}\n`),
  )
})
