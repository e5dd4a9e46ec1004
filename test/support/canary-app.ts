/**
 * A program for tests: asks the model of the server of argv[3], with a key that nobody may see again, which is an option if argv[4] is one and else in OPENAI_API_KEY. A command prints
 * its environment, a request is refused in words that hold the key, and an answer is cut off. It says `ready`, and has the store open until its input ends.
 */
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { buildAgent, openRuntime } from 'perdure'

const [, , directory = '', baseUrl = '', apiKey] = process.argv
const runtime = await openRuntime({ directory, log: 'json' })
const agent = buildAgent(
  { name: 'worker', systemPrompt: 'Work.', model: 'gpt-5-mini', allowedTools: ['exec'] },
  { baseUrl, maxRetries: 1, ...(apiKey !== undefined && { apiKey }) },
)
const session = runtime.durable(agent).session('one')
for (const prompt of ['Print it.', 'Refuse it.', 'Cut it off.'])
  await session.run(prompt).catch((error: unknown) => writeSync(1, `${String(error)} ${JSON.stringify(error)}\n`))
writeSync(1, 'ready\n')
process.stdin.resume()
await once(process.stdin, 'end')
await runtime.close()
