import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openaiServer } from 'perdure/testing'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const app = fileURLToPath(new URL('../support/parallel-app.ts', import.meta.url))
let room: TempRoom
before(async () => {
  room = await createTempRoom()
})
after(() => room.remove())

test('of five parallel calls of which three had settled when the process was killed, two run', async () => {
  await using server = await openaiServer({
    script: ({ messages }) => {
      const results = messages.filter(({ role }) => role === 'tool')
      if (results.length > 0) return { text: results.map(({ content }) => content).join(', ') }
      return { toolCalls: [1, 2, 3, 4, 5].map((part) => ({ name: 'work', arguments: { part } })) }
    },
  })
  const directory = room.path('store')
  const effects = `${directory}.effects`
  const start = (mode: string) =>
    spawn(process.execPath, ['--conditions=perdure/source', '--no-warnings', app, directory, server.url, mode, effects], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH },
    })

  const first = start('hang')
  const [said] = await once(first.stdout, 'data')
  assert.equal(String(said), 'durable\n')
  first.kill('SIGKILL')
  await once(first, 'close')
  assert.deepEqual(readFileSync(effects, 'utf8').trim().split('\n').sort(), ['1', '2', '3', '4', '5'])
  const asked = server.requests.length

  const second = start('finish')
  let answer = ''
  second.stdout.on('data', (chunk) => {
    answer += chunk
  })
  await once(second, 'close')
  assert.equal(answer, 'part 1 is done, part 2 is done, part 3 is done, part 4 is done, part 5 is done\n')
  const executed = readFileSync(effects, 'utf8').trim().split('\n').slice(5)
  assert.deepEqual(executed.sort(), ['4', '5'])
  assert.equal(server.requests.length, asked + 1, 'only the request after the tools is made')
})
