/**
 * A program for tests: an agent whose tool fails twice, by a clock that it moves by hand. It kills itself when the wait for the third attempt is on disk; with `ORDER.now`
 * it takes that up at that time and moves to the moment before the attempt is due, and then to it. Each attempt is a line of the file `effects`.
 */
import { appendFileSync, readFileSync, writeSync } from 'node:fs'
import { buildAgent, openRuntime, tool } from 'perdure'
import { scriptedModel, testClock } from 'perdure/testing'
import { z } from 'zod'

export interface RetryAppOrder {
  readonly directory: string
  readonly effects: string
  /** Where the clock stands; without, it is the first life. */
  readonly now?: number | undefined
}

const { directory, effects, now } = JSON.parse(process.env.ORDER ?? '') as RetryAppOrder // written by the test
const clock = testClock(now === undefined ? {} : { now })
const countAttempts = () => readFileSync(effects, 'utf8').trim().split('\n').length

const work = tool({
  name: 'work',
  description: 'Works',
  input: z.object({}),
  retry: { maxAttempts: 3, delayMs: 10_000 },
  run(_, { key, attempt }) {
    appendFileSync(effects, `${JSON.stringify({ key, attempt, at: clock.now() })}\n`)
    if (attempt < 3) throw new Error('not yet')
    return `attempt ${attempt}`
  },
})
const model = scriptedModel(({ messages }) => {
  const told = messages.find(({ role }) => role === 'tool')
  return told?.content ?? { toolCalls: [{ name: 'work', id: 'call_1' }] }
})
const agent = buildAgent(
  { name: 'worker', systemPrompt: '', model: 'scripted', allowedTools: ['work'] },
  { model, tools: [work] },
)

const waiting = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
await using runtime = await openRuntime({
  directory,
  machines: [agent.machine],
  log: 'silent',
  clock,
  // Told once the time of the next attempt is on disk.
  onEvent: (event) => void (event.type === 'call.retried' && waiting[event.attempt - 1]?.resolve()),
})
const run = await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })

const readDue = async (): Promise<number | undefined> => {
  for await (const { kind, retryAt } of run.steps()) if (kind === 'tool') return retryAt
  return undefined
}

if (now === undefined) {
  await waiting[0]?.promise
  await clock.advance(10_000)
  await waiting[1]?.promise
  writeSync(1, JSON.stringify({ now: clock.now(), due: await readDue() }))
  process.kill(process.pid, 'SIGKILL')
}
const due = (await readDue()) ?? 0
await clock.advance(due - clock.now() - 1)
const early = countAttempts()
await clock.advance(1)
const output = await run.done()
writeSync(1, JSON.stringify({ due, early, output: output?.output }))
