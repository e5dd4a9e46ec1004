/** A command that the model asked for, over the death of the process that started it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openRuntime } from 'perdure'
import { openaiServer } from 'perdure/testing'
import { eventually, isAlive } from '../support/processes.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/exec-turn-app.ts', import.meta.url))
const skip = process.platform === 'win32' ? 'commands do not outlive us on Windows' : false

/** A command that leaves its pid for each time that it was started, and waits for the file `go`. */
const toCommand = (folder: string): string =>
  `echo $$ >> ${folder}/starts; echo building; while [ ! -e ${folder}/go ]; do sleep 0.02; done; echo built; touch ${folder}/done`

describe('a command over the death of its process', { skip }, () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  const open = async (t: { after(fn: () => Promise<void>): void }) => {
    const folder = room.path()
    mkdirSync(folder, { recursive: true })
    const server = await openaiServer({
      script: ({ messages }) => {
        const last = messages.at(-1)
        if (last?.role === 'tool') return { text: last.content }
        return { toolCalls: [{ name: 'exec', arguments: { command: toCommand(folder) } }] }
      },
    })
    t.after(() => server.close())
    const directory = room.path()
    const start = (mode = 'run') => {
      const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, directory, server.url, mode], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { PATH: process.env.PATH },
      })
      const lines: string[] = []
      const reader = createInterface({ input: child.stdout })
      reader.on('line', (line) => lines.push(line))
      const said = async (word: string): Promise<string> => {
        for (;;) {
          const line = lines.find((one) => one.startsWith(word))
          if (line !== undefined) return line
          await once(reader, 'line')
        }
      }
      return { child, lines, said, closed: once(child, 'close') }
    }
    const killed = async (): Promise<void> => {
      const first = start()
      await first.said('running')
      first.child.kill('SIGKILL')
      await first.closed
    }
    const untilDone = () => eventually('the command is done', () => existsSync(`${folder}/done`))
    /** The pids of the shells that ran it. */
    const starts = (): number[] => readFileSync(`${folder}/starts`, 'utf8').trim().split('\n').map(Number)
    return { folder, directory, server, start, killed, untilDone, starts }
  }

  test('that still runs is waited for, and its output is whole', async (t) => {
    const { folder, start, killed, starts, server } = await open(t)
    await killed()
    const second = start()
    await second.said('running')
    writeFileSync(`${folder}/go`, '')
    const answer = JSON.parse((await second.said('answer ')).slice('answer '.length))
    await second.closed
    assert.deepEqual(answer, { exitCode: 0, timedOut: false, stdout: 'building\nbuilt\n', stderr: '' })
    assert.equal(await second.said('settled'), 'settled recovered')
    assert.equal(starts().length, 1)
    assert.equal(server.requests.length, 2)
  })

  test('that ended meanwhile is taken at its result, and its files go', async (t) => {
    const { folder, directory, start, killed, untilDone, starts } = await open(t)
    await killed()
    writeFileSync(`${folder}/go`, '')
    await untilDone()
    const second = start()
    const answer = JSON.parse((await second.said('answer ')).slice('answer '.length))
    await second.closed
    assert.equal(answer.stdout, 'building\nbuilt\n')
    assert.equal(starts().length, 1)
    const left = await readdir(`${directory}/files`, { recursive: true, withFileTypes: true })
    assert.deepEqual(
      left.filter((entry) => entry.isFile()),
      [],
    )
  })

  test('that outlived its process is ended when its run is deleted', async (t) => {
    const { directory, killed, folder, starts } = await open(t)
    await killed()
    await using runtime = await openRuntime({ directory, log: 'silent' })
    const [pid = 0] = starts()
    assert.equal(isAlive(pid), true, 'it goes on')
    assert.equal(await runtime.delete('worker/main'), true)
    assert.equal(isAlive(pid), false)
    assert.equal(existsSync(`${folder}/done`), false)
  })

  test('is ended when its turn is cancelled', async (t) => {
    const { start, starts } = await open(t)
    const only = start('cancel')
    assert.match(await only.said('failed'), /aborted/)
    await only.closed
    assert.equal(isAlive(starts()[0] ?? 0), false)
  })
})
