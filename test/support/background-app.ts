/**
 * A program for tests: one turn of a session whose model is a background response of the server of argv[3]. It says each piece of text as it arrives, when the id of
 * the response is on the disk, what became of the call, and the answer.
 */
import { writeSync } from 'node:fs'
import { buildAgent, openRuntime } from 'perdure'

const [, , directory = '', baseUrl = ''] = process.argv
const say = (...words: readonly unknown[]): void => void writeSync(1, `${words.join(' ')}\n`)

let noted: Promise<void> | undefined

await using runtime = await openRuntime({
  directory,
  log: 'silent',
  onEvent(event) {
    if (event.type === 'text.received') {
      say('text', event.delta)
      noted ??= untilNoted(event.runId)
    }
    if (event.type === 'call.settled') say('settled', event.resolution ?? 'executed')
  },
})
/** Says so when the id of the answer is on the disk. */
async function untilNoted(runId: string): Promise<void> {
  for (;;) {
    for await (const { kind, noted } of runtime.get(runId).steps())
      if (kind === 'model' && noted !== undefined) return say('noted')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const agent = buildAgent(
  { name: 'worker', systemPrompt: '', model: 'gpt-5-mini' },
  { baseUrl, apiKey: 'sk-test', api: 'responses', background: true },
)
const { output, spend } = await runtime.durable(agent).run('Think hard.')
await noted
say('answer', output)
say('calls', spend.modelCalls)
