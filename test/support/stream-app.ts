/**
 * A program for tests that is killed at any moment and started again: one turn of a session with the server of argv[3], and each chunk of its stream as a line of the file
 * argv[4]. It goes on with the last line that is there. When the turn is over and the stream has settled, it says `done`.
 */
import { appendFileSync, existsSync, readFileSync, writeSync } from 'node:fs'
import { buildAgent, openRuntime, tool } from 'perdure'
import { z } from 'zod'

const [, , directory = '', baseUrl = '', file = ''] = process.argv
const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : []
const { offset } = JSON.parse(lines.at(-1) ?? '{}') as { readonly offset?: string } // written below

const note = tool({
  name: 'note',
  description: 'Writes a note down',
  effect: 'idempotent',
  input: z.object({ text: z.string() }),
  run({ text }, { progress }) {
    progress(`noting ${text}`)
    return `noted ${text}`
  },
})
await using runtime = await openRuntime({ directory, log: 'silent' })
const agent = buildAgent(
  { name: 'writer', systemPrompt: '', model: 'gpt-5-mini', allowedTools: ['note'] },
  { baseUrl, tools: [note] },
)
const session = runtime.durable(agent).session('main')
const stream = session.stream({ offset })
const ended = (async () => {
  for await (const chunk of stream) {
    appendFileSync(file, `${JSON.stringify(chunk)}\n`)
    if (chunk.type === 'settled' && chunk.key.endsWith('/m002')) return
  }
})()
await session.run('Write.')
await ended
writeSync(1, 'done\n')
