/**
 * A program for tests that is killed at any moment and started again: a flow of branches with turns, steps, a wait, a question and a sleep, in the store argv[2].
 * Each execution of a step, and each request to the model, appends a line to the file argv[3]; what has settled is appended as `settled <name>`. It says a line for
 * each event, and the result as `{ "type": "result" }`.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { buildAgent, openRuntime } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'

const [, , directory = '', effects = ''] = process.argv
const say = (line: unknown): void => void writeSync(1, `${JSON.stringify(line)}\n`)
const note = (line: string): void => appendFileSync(effects, `${line}\n`)

await using runtime = await openRuntime({ directory, log: 'silent' })
const run = runtime.get('run')
const acting: Promise<unknown>[] = []
const asked = new Set<string>()
const answer = (id: string): void => {
  if (asked.size === asked.add(id).size) return
  // Answered before the last death, or by the time that it is.
  acting.push(run.answer(id, 'yes').catch(() => {}))
}
/** One after the other: then they are in the order in which they were sent. */
const sendAll = async (): Promise<void> => {
  for (const n of [1, 2]) {
    await run.send({ type: 'go', n }, { id: `go ${n}` })
    note(`settled go ${n}`)
  }
}
runtime.subscribe((event) => {
  say({ type: event.type })
  if (event.type === 'run.started') acting.push(sendAll())
  if (event.type === 'checkpoint.started' && event.checkpoint.endsWith('ask')) answer('all.1/3/ask/ask')
})

const model = scriptedModel(({ messages }) => {
  const prompt = messages.findLast(({ role }) => role === 'user')?.content ?? ''
  note(prompt)
  return `${prompt}!`
})
const agent = runtime.durable(buildAgent({ name: 'default', systemPrompt: '', model: 'gpt-5-mini' }, { model }))
const turn = async (prompt: string): Promise<string> => {
  const { output } = await agent.run(prompt)
  note(`settled ${prompt}`)
  return output
}
const flow = runtime.flow('branches', async (_input: undefined, { all, step, waitFor, ask, sleep }) => {
  const traced = async (name: string, id: string): Promise<string> => {
    const value = await step(name, async () => {
      note(id)
      await new Promise((resolve) => setImmediate(resolve))
      return id
    })
    note(`settled ${id}`)
    return value
  }
  const results = await all([
    async () => [await traced('x', 'first x'), await turn('first turn'), await turn('second turn')],
    async () => [await traced('x', 'second x'), (await waitFor('go')).n, await turn('third turn'), (await waitFor('go')).n],
    async () => [await ask('Go on?', z.literal('yes')), await all([() => traced('x', 'third x'), () => traced('x', 'fourth x')])],
    async () => [await sleep(3), await traced('x', 'fifth x')],
  ])
  return [results, await traced('x', 'last x')]
})
say({ type: 'result', output: await flow.run(undefined, { id: 'run' }) })
await Promise.all(acting)
