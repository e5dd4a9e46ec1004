import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { removeCommands } from '../../src/actors/command-recovery.ts'
import { createCommandRoom } from '../support/command-room.ts'
import { eventually } from '../support/processes.ts'

// What would break these: a command that dies with us, and one that is run again although it ran.

const { path, remove, folderOf, pidsOf, dead } = await createCommandRoom()
const app = fileURLToPath(new URL('../support/exec-app.ts', import.meta.url))
const skip = process.platform === 'win32' && 'commands are supervised on Linux and macOS'
after(remove)

interface App {
  readonly child: ChildProcess
  readonly said: () => string
  /** Resolves when it has said so. */
  readonly says: (word: string) => Promise<unknown>
  readonly closed: Promise<unknown>
}

function startApp(directory: string, point: string, command: string): App {
  const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, directory, point, command], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  const closed = once(child, 'close')
  return { child, said: () => text, says: (word) => eventually(word, () => text.includes(word) || undefined), closed }
}

async function kill({ child, closed }: App): Promise<void> {
  child.kill('SIGKILL')
  await closed
}

/** Lets it run to its end; what it said. */
async function finish(running: App): Promise<{ readonly recovered: string | undefined; readonly content: string }> {
  await running.closed
  const [, recovered] = /^recovered (.*)$/m.exec(running.said()) ?? []
  const [, content = ''] = running.said().split('settled ')
  return { recovered, content: content.slice(0, -1) }
}

/** A command that counts its runs and waits for a file, and what is outside of it. */
function createScene() {
  const directory = path('run')
  const [runs, go] = [`${directory}.runs`, `${directory}.go`]
  const command = `echo run >> ${runs}; echo begin; until [ -e ${go} ]; do sleep 0.01; done; echo end; exit 3`
  const report = JSON.stringify({ exitCode: 3, timedOut: false, stdout: 'begin\nend\n', stderr: '' })
  return {
    directory,
    files: join(directory, 'files'),
    command,
    report,
    countRuns: () => (existsSync(runs) ? readFileSync(runs, 'utf8').split('\n').length - 1 : 0),
    goOn: () => writeFileSync(go, ''),
  }
}

for (const [point, recovered] of [
  ['before-intent', undefined],
  ['after-intent', 'notStarted'],
  ['during', 'settled'],
  ['before-settle', 'settled'],
  ['after-settle', undefined],
] as const) {
  test(`a process that is killed ${point === 'during' ? 'while it runs' : point.replace('-', ' the ')} leads to one run of its command`, {
    skip,
  }, async () => {
    const { directory, command, report, countRuns, goOn } = createScene()
    const first = startApp(directory, point, command)
    if (point.endsWith('settle')) goOn()
    await first.says(`at ${point}`)
    await kill(first)
    goOn()
    assert.deepEqual(await finish(startApp(directory, 'never', command)), { recovered, content: report })
    assert.equal(countRuns(), 1)
  })
}

test('a command that still runs when its process was killed is waited for', { skip }, async () => {
  const { directory, files, command, report, countRuns, goOn } = createScene()
  const first = startApp(directory, 'during', command)
  await first.says('at during')
  await kill(first)
  const second = startApp(directory, 'during', command)
  // Its output is seen again from the beginning.
  await second.says('at during')
  await kill(second)
  await pidsOf(files)
  goOn()
  assert.deepEqual(await finish(startApp(directory, 'never', command)), { recovered: 'settled', content: report })
  assert.equal(countRuns(), 1)
})

test('the result of a command that ended while no process lived is taken', { skip }, async () => {
  const { directory, files, command, report, countRuns, goOn } = createScene()
  const first = startApp(directory, 'during', command)
  await first.says('at during')
  await kill(first)
  goOn()
  await dead((await pidsOf(files)).supervisor)
  assert.deepEqual(await finish(startApp(directory, 'never', command)), { recovered: 'settled', content: report })
  assert.equal(countRuns(), 1)
})

for (const stage of ['', 'stdout', 'claim', 'command', 'result']) {
  const moment = stage === '' ? 'supervisor is asked for' : `file \`${stage}\` is there`
  test(`a process that is killed as soon as the ${moment} leads to one run of its command`, { skip }, async () => {
    const { directory, files, command, report, countRuns, goOn } = createScene()
    if (stage === 'result') goOn()
    const first = startApp(directory, 'never', command)
    await eventually(stage, () => existsSync(join(folderOf(files), stage)) || undefined)
    await kill(first)
    goOn()
    const { recovered, content } = await finish(startApp(directory, 'never', command))
    // Whether the supervisor got its order before the kill is open; what follows from it is not.
    assert.ok(recovered === 'notStarted' || recovered === 'settled' || stage === 'result', recovered)
    assert.equal(content, report)
    assert.equal(countRuns(), 1)
  })
}

test('when the process and the supervisor were killed the model is told so, with the output so far', { skip }, async () => {
  const { directory, files, command, countRuns } = createScene()
  const first = startApp(directory, 'during', command)
  await first.says('at during')
  const pids = await pidsOf(files)
  process.kill(pids.supervisor, 'SIGKILL')
  await kill(first)
  assert.deepEqual(await finish(startApp(directory, 'never', command)), {
    recovered: 'unknown',
    content:
      'unknown: How the command ended is not known: its supervisor was killed, or could not write its result.\nIts stdout so far:\nbegin\n',
  })
  assert.equal(countRuns(), 1)
  await dead(pids.command)
})

test('the files of a run are removed with the commands that it left running', { skip }, async () => {
  const { directory, files, command } = createScene()
  const first = startApp(directory, 'during', command)
  await first.says('at during')
  await kill(first)
  const pids = await pidsOf(files)
  await removeCommands(directory)
  await dead(pids.command, pids.supervisor)
  assert.equal(existsSync(directory), false)
})
