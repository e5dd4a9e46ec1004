import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { makeClaim, toFolderName } from '../../src/actors/command-files.ts'
import { recoverCommand, removeCommands, removeTree } from '../../src/actors/command-recovery.ts'
import { readIdentity } from '../../src/actors/process-identity.ts'
import { isPerdureError } from '../../src/errors.ts'
import { createCommandRoom } from '../support/command-room.ts'
import { isAlive } from '../support/processes.ts'

// What would break these: a check of process ids alone, a result that is not atomic, and a claim that comes after the start.

const { root, path, remove, toCommand, start, folderOf, pidsOf, numbersIn, printed, dead } = await createCommandRoom()
after(remove)

const never = () => new AbortController().signal
const supervisor = fileURLToPath(new URL('../../src/actors/supervisor.ts', import.meta.url))

async function found(directory: string) {
  const command = await recoverCommand(directory, 1)
  assert.ok(command.status === 'running' || command.status === 'over', command.status)
  return command
}

test('a command leaves its claim, identity, output and result in files that are for us alone', async () => {
  const { directory, ended } = start('echo out; echo err >&2; exit 3')
  const end = await ended
  assert.ok(end.status === 'ended')
  const { exitCode, signal, endedBy, stdout, stderr } = end.outcome
  assert.deepEqual([exitCode, signal, endedBy, stdout.text, stderr.text], [3, undefined, 'itself', 'out\n', 'err\n'])
  const folder = folderOf(directory)
  assert.deepEqual(readdirSync(folder).sort(), ['claim', 'command', 'result', 'stderr', 'stdout'])
  assert.equal(statSync(folder).mode & 0o777, 0o700)
  for (const file of readdirSync(folder)) assert.equal(statSync(join(folder, file)).mode & 0o777, 0o600, file)
})

test('a variable of the command is in no file and not in the environment of its supervisor', async () => {
  const { directory, ended } = start('echo started; sleep 1000', undefined, {
    env: { PATH: process.env.PATH ?? '', TOKEN: 'canary-1' },
  })
  const pids = await pidsOf(directory)
  const folder = folderOf(directory)
  for (const file of readdirSync(folder)) assert.doesNotMatch(readFileSync(join(folder, file), 'latin1'), /canary/, file)
  if (process.platform === 'linux') assert.equal(readFileSync(`/proc/${pids.supervisor}/environ`, 'latin1'), '')
  await removeCommands(directory)
  await ended
  await dead(pids.supervisor, pids.command)
})

test('flags for Node among the variables of a command do not reach its supervisor', async () => {
  const { ended } = start('echo "$NODE_OPTIONS"', undefined, { env: { NODE_OPTIONS: '--require /no/such/file' } })
  const end = await ended
  assert.ok(end.status === 'ended')
  assert.equal(end.outcome.stdout.text, '--require /no/such/file\n')
})

test('a cancellation ends a command with its whole group', async () => {
  const file = path('pids')
  const { directory, ended, abort } = start(`sleep 1000 & echo $! $$ > ${file}; sleep 1000`)
  const pids = await numbersIn(file)
  abort()
  const end = await ended
  assert.ok(end.status === 'ended')
  assert.deepEqual([end.outcome.endedBy, end.outcome.groupEnded], ['abort', true])
  assert.deepEqual(pids.filter(isAlive), [])
  await dead((await pidsOf(directory)).supervisor)
})

test('a cancellation before the command has started means that it never does', async () => {
  const file = path('started')
  const { directory, ended, abort } = start(`touch ${file}`)
  abort()
  await assert.rejects(ended, { name: 'AbortError' })
  assert.deepEqual(await recoverCommand(directory, 1), { status: 'notStarted' })
  assert.equal(existsSync(file), false)
})

test('the supervisor enforces the time limit by itself', async () => {
  const file = path('pids')
  const { directory, ended, suspend } = start(`sleep 1000 & echo $! $$ > ${file}; echo before; sleep 1000`, undefined, {
    timeoutMs: 500,
  })
  await pidsOf(directory)
  suspend()
  await assert.rejects(ended, (error) => isPerdureError(error, 'STORE_CLOSED'))
  const pids = await numbersIn(file)
  const end = await (await found(directory)).follow(never())
  assert.ok(end.status === 'ended')
  assert.deepEqual([end.outcome.endedBy, end.outcome.groupEnded, end.outcome.stdout.text], ['timeout', true, 'before\n'])
  assert.deepEqual(pids.filter(isAlive), [])
})

test('a command that was suspended is followed again, with its output from the beginning', async () => {
  const go = path('go')
  const { directory, ended, suspend } = start(`echo one; until [ -e ${go} ]; do sleep 0.01; done; echo two`)
  await pidsOf(directory)
  suspend()
  await assert.rejects(ended, (error) => isPerdureError(error, 'STORE_CLOSED'))
  const command = await found(directory)
  assert.equal(command.status, 'running')
  let seen = ''
  const end = await command.follow(never(), (stream, text) => {
    seen += `${stream} ${text}`
    writeFileSync(go, '')
  })
  assert.ok(end.status === 'ended')
  assert.equal(seen, 'stdout one\nstdout two\n')
  assert.equal(end.outcome.stdout.text, 'one\ntwo\n')
})

test('a command that is followed again can be cancelled', async () => {
  const { directory, suspend } = start('sleep 1000')
  const pids = await pidsOf(directory)
  suspend()
  const end = await (await found(directory)).follow(AbortSignal.abort())
  assert.ok(end.status === 'ended')
  assert.equal(end.outcome.endedBy, 'abort')
  await dead(pids.command, pids.supervisor)
})

test('the result of a command that ended meanwhile is taken, as often as it is asked for', async () => {
  const { directory, suspend } = start('echo done; exit 4')
  const pids = await pidsOf(directory)
  suspend()
  await dead(pids.supervisor)
  for (let times = 0; times < 2; times++) {
    const command = await found(directory)
    assert.equal(command.status, 'over')
    const end = await command.follow(never())
    assert.ok(end.status === 'ended')
    assert.deepEqual([end.outcome.exitCode, end.outcome.stdout.text], [4, 'done\n'])
  }
})

test('a command of which there is no trace was not started', async () => {
  assert.deepEqual(await recoverCommand(path('call'), 1), { status: 'notStarted' })
  const { directory, ended } = start('true')
  await ended
  assert.deepEqual(await recoverCommand(directory, 2), { status: 'notStarted' })
})

/** Starts a supervisor as a process does that dies before it could be followed. */
async function order(text: string): Promise<number | null> {
  const child = spawn(process.execPath, ['--no-warnings', supervisor], { stdio: ['pipe', 'ignore', 'ignore'], env: {} })
  child.stdin.end(text)
  return (await once(child, 'exit'))[0]
}

test('a supervisor that comes after the attempt was found not started does nothing', async () => {
  const directory = path('call')
  for (const isFolderKept of [false, true]) {
    const folder = join(directory, toFolderName(1))
    mkdirSync(folder, { recursive: true })
    assert.deepEqual(await recoverCommand(directory, 1), { status: 'notStarted' })
    if (isFolderKept) {
      mkdirSync(folder)
      writeFileSync(join(folder, 'claim'), JSON.stringify({ version: 1, state: 'void' }))
    }
    const file = path('started')
    await order(JSON.stringify({ folder, command: toCommand(`touch ${file}`) }))
    assert.equal(existsSync(file), false)
  }
})

test('an order that breaks off starts nothing', async () => {
  const folder = path('folder')
  mkdirSync(folder)
  const file = path('started')
  const text = JSON.stringify({ folder, command: toCommand(`touch ${file}`) })
  for (const length of [0, 1, text.length - 1]) assert.equal(await order(text.slice(0, length)), 0)
  assert.deepEqual([readdirSync(folder), existsSync(file)], [[], false])
})

for (const isFollowed of [true, false]) {
  test(`when the supervisor is killed its command is ended and the output so far is known, ${isFollowed ? 'followed' : 'found later'}`, async () => {
    const file = path('pids')
    const running = start(`echo before; sleep 1000 & echo $! $$ > ${file}; wait`)
    const pids = await numbersIn(file)
    const { supervisor } = await pidsOf(running.directory)
    await printed(running.directory, 'before')
    if (!isFollowed) running.suspend()
    process.kill(supervisor, 'SIGKILL')
    await dead(supervisor)
    const end = await (isFollowed ? running.ended : (await found(running.directory)).follow(never()))
    assert.ok(end.status === 'lost')
    assert.equal(end.reason, 'its supervisor was killed, or could not write its result')
    assert.equal(end.stdout.text, 'before\n')
    assert.deepEqual(pids.filter(isAlive), [])
  })
}

test('what a killed supervisor leaves is ended also when the shell is gone', {
  skip: process.platform !== 'linux' && 'the mark is read from /proc',
}, async () => {
  const file = path('pids')
  const { directory, suspend } = start(`(trap '' HUP; sleep 1000) & echo $! > ${file}; sleep 1000`)
  const [background = 0] = await numbersIn(file)
  const { supervisor, command } = await pidsOf(directory)
  suspend()
  process.kill(supervisor, 'SIGKILL')
  process.kill(command, 'SIGKILL')
  await dead(supervisor, command)
  assert.equal(isAlive(background), true)
  const end = await (await found(directory)).follow(never())
  assert.equal(end.status, 'lost')
  assert.equal(isAlive(background), false)
})

test('a supervisor that does not answer to a cancellation is killed, and its command is ended', async () => {
  const { directory, ended, abort } = start('sleep 1000')
  const { supervisor, command } = await pidsOf(directory)
  process.kill(supervisor, 'SIGSTOP')
  abort()
  const end = await ended
  assert.ok(end.status === 'lost')
  assert.equal(end.reason, 'its supervisor did not answer')
  await dead(supervisor, command)
})

test('a process that has been given the number of a supervisor or command is neither waited for nor ended', async () => {
  const bystander = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true })
  const pid = bystander.pid ?? 0
  try {
    const identity = readIdentity(pid)
    assert.ok(identity)
    const other = { ...identity, startedAt: `${identity.startedAt}0` }
    const directory = path('call')
    const folder = join(directory, toFolderName(1))
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'claim'), JSON.stringify({ version: 1, state: 'started', supervisor: other }))
    writeFileSync(join(folder, 'command'), JSON.stringify({ version: 1, ...other }))
    const command = await found(directory)
    assert.equal(command.status, 'over')
    assert.equal((await command.follow(AbortSignal.abort())).status, 'lost')
    await removeCommands(directory)
    assert.equal(isAlive(pid), true)
    assert.equal(existsSync(directory), false)
  } finally {
    bystander.kill('SIGKILL')
    await once(bystander, 'exit')
  }
})

test('a command of an earlier boot is lost with the machine', {
  skip: process.platform !== 'linux' && 'only Linux names its boots',
}, async () => {
  const bystander = spawn('sleep', ['1000'], { stdio: 'ignore', detached: true })
  try {
    const directory = path('call')
    const folder = join(directory, toFolderName(1))
    mkdirSync(folder, { recursive: true })
    const identity = { ...readIdentity(bystander.pid ?? 0), boot: 'earlier' }
    writeFileSync(join(folder, 'claim'), JSON.stringify({ version: 1, state: 'started', supervisor: identity }))
    writeFileSync(join(folder, 'command'), JSON.stringify({ version: 1, ...identity }))
    const end = await (await found(directory)).follow(never())
    assert.ok(end.status === 'lost')
    assert.equal(end.reason, 'the machine was restarted')
    assert.equal(isAlive(bystander.pid ?? 0), true)
  } finally {
    bystander.kill('SIGKILL')
    await once(bystander, 'exit')
  }
})

for (const [name, text] of [
  ['result', '{"version":1,"state":"ended","exi'],
  ['result', '{"version":2,"state":"ended"}'],
  ['claim', ''],
] as const) {
  test(`a ${name} that cannot be read is not trusted: ${text}`, async () => {
    const { directory, ended } = start('echo out')
    await ended
    writeFileSync(join(folderOf(directory), name), text)
    if (name === 'claim') {
      // What the result says holds all the same.
      assert.equal((await (await found(directory)).follow(never())).status, 'ended')
      return
    }
    const end = await (await found(directory)).follow(never())
    assert.ok(end.status === 'lost')
    assert.equal(end.reason, 'its result cannot be read')
    assert.equal(end.stdout.text, 'out\n')
  })
}

test('removing a folder ends what runs anywhere below it, and lets be what a command left in the background', async () => {
  const directory = path('run')
  const file = path('pids')
  await start(`sleep 1000 > /dev/null 2>&1 & echo $! > ${file}`, join(directory, 'a')).ended
  const [background = 0] = await numbersIn(file)
  const running = [start('sleep 1000', join(directory, 'b', 'c')), start('sleep 1000', join(directory, 'd'))]
  const pids = (await Promise.all(running.map(({ directory }) => pidsOf(directory)))).flatMap(Object.values)
  await removeCommands(directory)
  assert.equal(existsSync(directory), false)
  await dead(...pids)
  await Promise.all(running.map(({ ended }) => ended))
  assert.equal(isAlive(background), true)
  process.kill(background, 'SIGKILL')
  await removeCommands(directory)
})

test('a command that cannot be started says why, also later', async () => {
  const { directory, ended } = start('true', undefined, { shell: '/no/such/shell' })
  const end = await ended
  assert.ok(end.status === 'failed')
  assert.match(end.message, /ENOENT/)
  assert.deepEqual(await (await found(directory)).follow(never()), end)
})

test('a folder that cannot be made, and one that cannot be claimed, start nothing', async () => {
  const file = path('file')
  writeFileSync(file, '')
  await assert.rejects(start('true', join(file, 'call')).ended, { code: 'ENOTDIR' })
  assert.equal(existsSync(join(root, 'started')), false)
})

test('twenty commands at once keep to themselves', async () => {
  const ends = await Promise.all(Array.from({ length: 20 }, (_, index) => start(`echo ${index}`).ended))
  assert.deepEqual(
    ends.map((end) => end.status === 'ended' && end.outcome.stdout.text),
    ends.map((_, index) => `${index}\n`),
  )
})

for (const how of ['recovered', 'removed'] as const)
  test(`a supervisor that still boots never starts a command that was ${how} before it came to that`, async () => {
    for (let round = 0; round < 60; round++) {
      const directory = path(`boot-${how}-${round}`)
      const folder = join(directory, toFolderName(1))
      mkdirSync(folder, { recursive: true })
      for (let file = 0; file < 5; file++) writeFileSync(join(folder, `file-${file}`), 'x')
      makeClaim(folder, { state: 'void' })
      let isOver = false
      const over = (how === 'removed' ? removeCommands(directory) : removeTree(folder)).finally(() => {
        isOver = true
      })
      // What the supervisor does, at every moment that it could.
      while (!isOver) {
        assert.equal(makeClaim(folder, { state: 'void' }), false)
        await new Promise(setImmediate)
      }
      await over
      assert.equal(existsSync(folder), false)
    }
  })
