/**
 * A program for tests of what the world does to it: machines that are sent events, and a flow of steps, agent turns, an approval, a question and sleeps, in the store
 * argv[2]. Each execution with an effect appends a line to the file argv[3]; argv[4] is its `Task` (JSON). It says what it does, a JSON line each, and ends with `result`,
 * or with `stopped` and the code of what ended it.
 */
import { appendFileSync, writeSync } from 'node:fs'
import { buildAgent, isPerdureError, openaiModel, openRuntime, type Runtime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import type { Did, Hold, Said, Task } from './fault-child.ts'
import { createCounter } from './fault-counter.ts'
import { answerOf, counterIds } from './fault-expected.ts'

const [, , directory = '', effects = '', given = '{}'] = process.argv
const task = JSON.parse(given) as Task // the test wrote it
const say = (said: Said): void => {
  for (let line = Buffer.from(`${JSON.stringify(said)}\n`); line.length > 0; )
    try {
      line = line.subarray(writeSync(1, line))
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error // the reader is slow
    }
}
const did = (name: string): void =>
  appendFileSync(effects, `${JSON.stringify({ life: task.life, name, at: Date.now() } satisfies Did)}\n`)
/** Stays at this moment until the process ends, if the task wants that. */
const holdAt = async (moment: Hold, signal?: AbortSignal): Promise<void> => {
  if (task.hold !== moment) return
  say({ type: 'at', moment })
  await new Promise((_, reject) => {
    if (signal === undefined) return
    const alive = setInterval(() => {}, 1_000) // as the server of a service does
    const end = (): void => {
      clearInterval(alive)
      reject(signal.reason)
    }
    signal.addEventListener('abort', end, { once: true })
  })
}

const ended = Promise.withResolvers<never>()
ended.promise.catch(() => {}) // it may come late
if (task.closesOn !== undefined) process.once(task.closesOn, () => ended.reject(new Error('asked to end')))

let modelKey = 'none'
/** By run: the calls that have settled. That is told when it happens; it is on disk when something that comes later is. */
const settled = new Map<string, string[]>()
const acknowledgeCalls = (runId: string): void => {
  for (const name of settled.get(runId) ?? []) say({ type: 'settled', name })
  settled.delete(runId)
}
const open = (): Promise<Runtime> =>
  openRuntime({
    directory,
    machines: [createCounter(did, task)],
    log: 'silent',
    onEvent(event) {
      const key = 'key' in event ? `${event.runId}#${event.key}` : event.runId
      if (event.type === 'call.started' && event.kind === 'model') modelKey = key
      else if (event.type === 'call.settled' && event.status === 'ok')
        settled.set(event.runId, [...(settled.get(event.runId) ?? []), `${event.kind} ${key}`])
      else if (event.type === 'run.blocked') say({ type: 'blocked', run: event.runId, code: toCode(event.error) })
      else if (event.type === 'message.dropped') say({ type: 'dropped', run: event.runId })
    },
  })

const toCode = (error: unknown): string =>
  isPerdureError(error) ? error.code : error instanceof Error ? error.message : 'thrown'

/** Each counter gets its events, three at a time under way, then its end. */
async function count(runtime: Runtime, id: string): Promise<unknown> {
  if (!task.started.includes(id)) {
    await runtime.start('counter', { id })
    say({ type: 'started', id })
  }
  const run = runtime.get(id)
  const send = async (n: number): Promise<void> => {
    await run.send({ type: n < task.events ? 'add' : 'finish', n, pad: 'x'.repeat(task.padBytes) }, { id: `${n}` })
    say({ type: 'acknowledged', id, n })
  }
  const underWay: Promise<void>[] = []
  for (let n = 0; n <= task.events; n++) {
    if (task.acknowledged[id]?.includes(n)) continue
    if (n === task.events) await Promise.all(underWay.splice(0))
    const sending = send(n)
    sending.catch(() => {}) // one before it may have failed
    underWay.push(sending)
    if (underWay.length >= 3) await underWay.shift()
    if (task.blockMs !== undefined && n === 2 && id === counterIds[0]) block(task.blockMs)
  }
  await Promise.all(underWay)
  const output = await run.done()
  acknowledgeCalls(id)
  return output
}

function block(ms: number): void {
  say({ type: 'at', moment: 'blocked' })
  const until = performance.now() + ms
  while (performance.now() < until);
}

/** Answers what waits for a person, for as long as there is something to wait for. */
async function answerAll(runtime: Runtime, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    for await (const { runId, id, kind } of runtime.pending()) {
      await holdAt(kind === 'approval' ? 'approval' : 'question', signal)
      await runtime
        .get(runId)
        .answer(id, kind === 'approval' ? true : 'yes')
        .catch((error: unknown) => {
          if (!isPerdureError(error, 'STEP_SETTLED') && !isPerdureError(error, 'STEP_UNKNOWN')) throw error
        })
      say({ type: 'answered', id: `${runId}#${id}` })
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function report(runtime: Runtime): Promise<unknown> {
  const write = (name: 'note' | 'pay') =>
    tool({
      name,
      description: name,
      effect: 'idempotent',
      input: z.object({ text: z.string() }),
      approval: name === 'pay',
      async run({ text }, { key, signal, runId }) {
        acknowledgeCalls(runId) // its own intent is on disk, so what came before is (P3)
        await holdAt('tool', signal)
        did(`tool ${key}`)
        return `${name}d ${text}`
      },
    })
  const inProcess = scriptedModel(async (request) => {
    did(`model ${modelKey}`)
    await holdAt('model')
    return answerOf(request)
  })
  const model =
    task.url === undefined
      ? inProcess
      : openaiModel({ apiKey: 'sk-test', baseUrl: task.url, timeoutMs: 400, maxRetries: task.retries })
  const agent = buildAgent(
    { name: 'clerk', systemPrompt: 'Be brief.', model: 'gpt-5-mini', allowedTools: ['note', 'pay'] },
    { model, tools: [write('note'), write('pay')] },
  )
  const durable = runtime.durable(agent)
  const turn = async (prompt: string): Promise<string> => {
    const { output } = await durable.run(prompt)
    acknowledgeCalls('report/clerk')
    return output
  }
  /** Says that it sleeps once the deadline is on disk. */
  const sayAsleep = async (): Promise<void> => {
    for (;;) {
      for await (const { kind } of runtime.get('report').steps())
        if (kind === 'sleep') return say({ type: 'at', moment: 'sleep' })
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  const flow = runtime.flow('report', async (_: undefined, { step, sleep, ask }) => {
    const lines: unknown[] = []
    for (let round = 0; round < task.rounds; round++) {
      const name = `step round ${round}`
      const value = await step(name, async () => {
        did(name)
        await holdAt('step')
        return round
      })
      say({ type: 'settled', name })
      lines.push(value, await turn(`note ${round}`))
      await Promise.all([sleep(task.sleepMs), task.hold === 'sleep' ? sayAsleep() : undefined])
    }
    lines.push(await turn('pay all'), await ask('Go on?', z.literal('yes')))
    return lines
  })
  return flow.run(undefined, { id: 'report' })
}

async function main(): Promise<void> {
  const done = new AbortController()
  const runtime = await open()
  try {
    say({ type: 'open' })
    const answering = answerAll(runtime, done.signal)
    answering.catch(() => {})
    const outputs = Promise.all([report(runtime), ...counterIds.map((id) => count(runtime, id))])
    outputs.catch(() => {})
    const result = await Promise.race([outputs, ended.promise, answering.then(() => outputs)])
    say({ type: 'result', outputs: result })
  } finally {
    done.abort()
    await runtime.close()
    say({ type: 'closed' })
  }
}

try {
  await main()
} catch (error) {
  say({ type: 'stopped', code: toCode(error), message: error instanceof Error ? error.message : String(error) })
  process.exitCode = 3
}
