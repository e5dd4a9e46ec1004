/**
 * A user's program: an agent with a tool of its own in a flow of two turns that fails once between them. Run in the source tree by its
 * types, and in an empty project where the packed package is installed. Prints what came of it as JSON. It is written for the oldest Node
 * that the package supports, which has no `await using`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Agent, buildAgent, isPerdureError, openRuntime, type Profile, type RuntimeEvent, tool } from 'perdure'
import { openaiServer } from 'perdure/testing'
import { z } from 'zod'

const profile: Profile = { name: 'adder', systemPrompt: 'Add.', model: 'gpt-5-mini', allowedTools: ['add'] }

let added = 0
const add = tool({
  name: 'add',
  description: 'Adds two numbers.',
  input: z.object({ a: z.number(), b: z.number() }),
  run({ a, b }) {
    added += 1
    return a + b
  },
})

const directory = await mkdtemp(join(tmpdir(), 'perdure-app-'))
const server = await openaiServer({
  script: ({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === 'tool') return `The sum is ${last.content}.`
    return last?.content === 'Add.' ? { toolCalls: [{ name: 'add', arguments: { a: 19, b: 23 } }] } : 'It was easy.'
  },
})

const events: RuntimeEvent['type'][] = []
const agent: Agent = buildAgent(profile, { baseUrl: server.url, tools: [add] })

async function attempt(isBroken: boolean): Promise<string> {
  const runtime = await openRuntime({ directory, log: 'silent', onEvent: ({ type }) => void events.push(type) })
  try {
    const durable = runtime.durable(agent, { checkpoint: 'calls' })
    const flow = runtime.flow('sum', async (word: string, { step }) => {
      const { output } = await durable.run(word)
      await step('check', () => output.length)
      if (isBroken) throw new Error('broken')
      return `${output} ${(await durable.run('How was it?')).output}`
    })
    return await flow.run('Add.')
  } finally {
    await runtime.close()
  }
}

const failure = await attempt(true).catch((error: unknown) => error)
const output = await attempt(false)
const misnamed = await Promise.resolve()
  .then(() => buildAgent({ ...profile, allowedTools: ['substract'] }))
  .catch((error: unknown) => error)
await rm(directory, { recursive: true })
await server.close()

console.log(
  JSON.stringify({
    failure: failure instanceof Error ? failure.message : failure,
    output,
    added,
    requests: server.requests.length,
    reused: events.filter((type) => type === 'checkpoint.reused').length,
    code: isPerdureError(misnamed) ? misnamed.code : undefined,
  }),
)
