/**
 * A program for tests that is killed at any moment and started again: a flow of three turns with a step between, against the
 * server of argv[3], in the store argv[2], with the checkpoint strategy argv[4]. Each execution of a tool or step appends a line
 * to the file argv[5]. It says each event as JSON, and the result as `{ "type": "result" }`.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { buildAgent, openRuntime, tool } from 'perdure'
import { z } from 'zod'

const [, , directory = '', baseUrl = '', checkpoint = 'calls', effects = ''] = process.argv
const say = (line: unknown): void => void writeSync(1, `${JSON.stringify(line)}\n`)

const note = tool({
  name: 'note',
  description: 'Writes a note down',
  effect: 'idempotent',
  input: z.object({ text: z.string() }),
  async run({ text }, { key }) {
    appendFileSync(effects, `${key}\n`)
    // Calls that are asked for at once end in another order.
    await new Promise((resolve) => setTimeout(resolve, (text.length * 7 + text.charCodeAt(text.length - 1) * 3) % 11))
    return `noted ${text}`
  },
})

await using runtime = await openRuntime({
  directory,
  log: 'silent',
  onEvent: ({ type, ...event }) => {
    if (type !== 'text.received') say({ type, checkpoint: 'checkpoint' in event ? event.checkpoint : undefined })
  },
})
const agent = buildAgent(
  { name: 'default', systemPrompt: 'Take notes.', model: 'gpt-5-mini', allowedTools: ['note'] },
  { baseUrl, tools: [note] },
)
const durable = runtime.durable(agent, { checkpoint: checkpoint === 'turn' ? 'turn' : 'calls' })
const flow = runtime.flow('crash', async (input: string, { step }) => {
  const first = await durable.run(`first ${input}`)
  const count = await step('count', ({ key }) => {
    appendFileSync(effects, `${key}\n`)
    return first.output.length
  })
  const second = await durable.run(`second ${count}`)
  const third = await durable.run('third')
  return [first.output, count, second.output, third.output]
})
say({ type: 'result', output: await flow.run('input') })
