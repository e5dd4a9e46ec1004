/** A subscriber whose process is killed at any moment has, by its offset, each token of the turn once. Would catch: a stream that repeats or loses what a crash cut off. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { StreamChunk } from 'perdure'
import { openaiServer } from 'perdure/testing'
import { eventually, isAlive } from '../support/processes.ts'
import { Keeper } from '../support/stream-process.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/stream-app.ts', import.meta.url))
let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

const readChunks = (file: string): StreamChunk[] =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as StreamChunk) // written by the app
    : []

for (const killAt of [[1], [2], [4], [1, 3, 5], [2, 2, 2, 2]])
  test(`a subscriber that dies after ${killAt.join(', then ')} chunks has each token once`, async () => {
    const words = ['once ', 'upon ', 'a ', 'time ', 'there ', 'was']
    let asked = 0
    await using server = await openaiServer({
      chunkDelayMs: 15,
      script: ({ messages }) => {
        asked++
        if (messages.some(({ role }) => role === 'tool')) return { deltas: words.map((word) => `${word}(${asked}) `) }
        return {
          deltas: ['Let ', 'me ', `note (${asked}).`],
          toolCalls: [{ name: 'note', arguments: { text: 'a tale of a whale' } }],
        }
      },
    })
    const directory = room.path(`store-${killAt.join('-')}`)
    const file = `${directory}.chunks`
    const start = () =>
      spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, directory, server.url, file], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { PATH: process.env.PATH },
      })
    for (const count of killAt) {
      const before = readChunks(file).length
      const child = start()
      const closed = once(child, 'close')
      const pid = child.pid ?? 0
      await eventually('enough chunks', () => !isAlive(pid) || readChunks(file).length >= before + count)
      child.kill('SIGKILL')
      await closed
    }
    const child = start()
    const [[said]] = await Promise.all([once(child.stdout, 'data'), once(child, 'close')])
    assert.equal(String(said), 'done\n')

    const keeper = new Keeper()
    for (const chunk of readChunks(file)) keeper.take(chunk)
    const texts = [...keeper.calls].filter(([id]) => /m\d+$/.test(id)).map(([, { text }]) => text)
    assert.equal(texts.length, 2)
    assert.match(texts[0] ?? '', /^Let me note \(\d+\)\.$/)
    const number = /\((\d+)\)/.exec(texts[1] ?? '')?.[1]
    assert.equal(texts[1], words.map((word) => `${word}(${number}) `).join(''))
    const written = [...keeper.calls.values()].flatMap(({ calls }) => Object.values(calls))
    assert.deepEqual(
      written.map((text) => JSON.parse(text)),
      [{ text: 'a tale of a whale' }],
    )
  })
