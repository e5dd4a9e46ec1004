/** An answer that the provider goes on with by itself, over the death of the process that asked for it: paid once. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openaiServer } from 'perdure/testing'
import { eventually } from '../support/processes.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/background-app.ts', import.meta.url))

describe('a background response over the death of its process', () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  for (const moment of ['while it goes on', 'after it has completed']) {
    test(`is fetched by its id ${moment}, and not paid again`, async () => {
      const gate = Promise.withResolvers<void>()
      let waits = 0
      await using server = await openaiServer({
        script: ['one two three four five'],
        chunkDelayMs: 1,
        sleep: () => (++waits === 4 ? gate.promise : Promise.resolve()),
      })
      const directory = room.path()
      const start = () => {
        const child = spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, directory, server.url], {
          stdio: ['ignore', 'pipe', 'inherit'],
          env: { PATH: process.env.PATH },
        })
        const lines: string[] = []
        const reader = createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
        return { child, lines, reader, closed: once(child, 'close') }
      }

      const first = start()
      await eventually('its id is on the disk', () => first.lines.includes('noted'))
      first.child.kill('SIGKILL')
      await first.closed

      const status = () => server.requests[0]?.background?.status
      assert.equal(status(), 'in_progress')
      if (moment === 'after it has completed') {
        gate.resolve()
        await eventually('it completes', () => status() === 'completed')
      }
      const second = start()
      if (moment === 'while it goes on') {
        await once(second.reader, 'line')
        gate.resolve()
      }
      await second.closed
      assert.deepEqual(
        second.lines.filter((line) => /^(settled|answer|calls)/.test(line)),
        ['settled recovered', 'answer one two three four five', 'calls 1'],
      )
      const text = second.lines.filter((line) => line.startsWith('text ')).map((line) => line.slice('text '.length))
      assert.equal(text.join(''), 'one two three four five')
      assert.equal(server.requests.length, 1, 'it was paid once')
    })
  }
})
