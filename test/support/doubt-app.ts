/**
 * A program for tests: an effect on the outside world, a server that it tells of each attempt, under one of the policies of `doubt-app-policies.ts`. It kills itself
 * at a named moment, or lives to its end and says what came of it. The order is the JSON of argv[2].
 */
import { writeSync } from 'node:fs'
import { buildAgent, fromStep, openRuntime, type RuntimeEvent, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { type DoubtAppOrder, type DoubtAppPolicy, type DoubtAppReport, doubtPolicies } from './doubt-app-policies.ts'

const { directory, world, policy: policyName, mode, moment } = JSON.parse(process.argv[2] ?? '') as DoubtAppOrder // written by the test
const { effect, onDoubt, recover, answer }: DoubtAppPolicy = doubtPolicies[policyName]
const doubts: [string, string][] = []
const questions: string[] = []
let modelCalls: DoubtAppReport['modelCalls']

const die = (): void => void process.kill(process.pid, 'SIGKILL')

const isEffect = (event: { readonly kind: string }): boolean => event.kind === 'tool' || event.kind === 'step'

function onEvent(event: RuntimeEvent): void {
  if (event.type === 'checkpoint.finished' && event.kind === 'turn') {
    for (const { kind, resolution } of event.doubts ?? []) doubts.push([kind, resolution])
    modelCalls = { reused: event.reused.modelCalls, paid: event.spent.modelCalls }
  }
  if (event.type === 'call.settled' && event.resolution !== undefined && mode !== 'session')
    doubts.push([event.kind, event.resolution])
  if (event.type === 'question.asked') {
    questions.push(event.text)
    void runtime.get(event.runId).answer(event.key, answer)
  }
  if (moment === 'before the intent' && event.type === 'call.settled' && event.kind === 'model') die()
  // Where the intent need not be on disk first, it is waited for in the effect.
  if (moment === 'after the intent' && event.type === 'call.started' && isEffect(event) && effect !== 'none') die()
  if (event.type === 'checkpoint.finished' && event.kind === 'step' && moment === 'after it has settled') die() // it is on disk
  if (event.type === 'call.settled' && isEffect(event)) {
    if (moment === 'before it has settled') die()
    if (moment === 'after it has settled') void whenDurable().then(die)
  }
}

/** Batches reach the disk in order: when a later turn is there, what came before it is. */
async function whenDurable(): Promise<void> {
  const other = buildAgent({ name: 'other', systemPrompt: '', model: 'scripted' }, { model: scriptedModel(['pong']) })
  await runtime.durable(other).session('other').run('ping')
}

async function act({ key, attempt }: { readonly key: string; readonly attempt: number }): Promise<string> {
  if (moment === 'after the intent') {
    await whenDurable()
    die()
  }
  await fetch(world, { method: 'POST', body: JSON.stringify({ key, attempt }) })
  if (moment === 'during the effect') {
    await whenDurable()
    die()
  }
  if (mode === 'flow' && moment === 'before it has settled') queueMicrotask(die)
  return `did ${attempt}`
}

const askWorld = async (key: string): Promise<number[]> => {
  const seen = (await (await fetch(world)).json()) as { key: string; attempt: number }[] // what `act` told
  return seen.filter((one) => one.key === key).map(({ attempt }) => attempt)
}
const options = recover === undefined ? {} : { recover: ({ key }: { readonly key: string }) => recover(key, askWorld) }
const doubt = { ...options, ...(onDoubt === undefined ? {} : { onDoubt }) }

const send = tool({
  name: 'send',
  description: 'Sends it',
  effect,
  input: z.object({ to: z.string() }),
  run: (_, context) => act(context),
  ...doubt,
})

const model = scriptedModel(({ messages }) => {
  const told = messages.find(({ role }) => role === 'tool')
  if (told === undefined) return { toolCalls: [{ name: 'send', arguments: { to: 'Ada' }, id: 'call_1' }] }
  return moment === undefined ? told.content : { fault: 'hang' }
})
const agent = buildAgent(
  { name: 'sender', systemPrompt: '', model: 'gpt-5-mini', allowedTools: ['send'] },
  { model, tools: [send] },
)

const stepDoubt = onDoubt === undefined && effect === 'external' ? { ...doubt, onDoubt: 'report' as const } : doubt
const step = fromStep(act, { ...stepDoubt, effect: effect !== 'none' })
const machine = setup({
  types: { context: {} as { told: string }, events: {} as { type: 'go' } },
  actors: { step },
}).createMachine({
  id: 'machine',
  context: { told: '' },
  initial: 'waiting',
  output: ({ context }) => context.told,
  states: {
    waiting: { on: { go: 'acting' } },
    acting: {
      invoke: {
        id: 'send',
        src: 'step',
        input() {
          if (moment === 'before the intent') die()
          return undefined
        },
        onDone: { target: 'done', actions: assign({ told: ({ event }) => toText(event.output) }) },
        onError: { target: 'done', actions: assign({ told: ({ event }) => toText(event.error) }) },
      },
    },
    done: { type: 'final' },
  },
})

const toText = (value: unknown): string =>
  value instanceof Error
    ? `${'code' in value ? value.code : value.name}: ${value.message}`
    : typeof value === 'string'
      ? value
      : JSON.stringify(value)

await using runtime = await openRuntime({
  directory,
  machines: [agent.machine, machine],
  log: 'silent',
  autoResume: false,
  onEvent,
})

async function live(): Promise<{ readonly runId: string; readonly told: string }> {
  if (mode === 'session') {
    const session = runtime.durable(agent).session('one')
    return { runId: session.runId, told: (await session.run('Send it.')).output }
  }
  if (mode === 'agent') {
    const run = await runtime.start(agent.machine, { id: 'agent', input: { prompt: 'Send it.' } })
    const output = await run.done()
    return { runId: run.id, told: output?.output ?? '' }
  }
  if (mode === 'flow') {
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      if (moment === 'before the intent') die()
      return step('send', act, stepDoubt).catch(toText).then(toText)
    })
    return { runId: 'flow', told: await flow.run(undefined, { id: 'flow' }) }
  }
  const run = await runtime.start(machine, { id: 'machine' })
  await run.send({ type: 'go' }, { id: 'go' })
  return { runId: run.id, told: (await run.done()) as string } // the context's
}

const { runId, told } = await live()
if (moment !== undefined) await new Promise(() => {}) // it is on its way out
const steps: DoubtAppReport['steps'][number][] = []
for await (const { key, status, attempt, resolution } of runtime.get(runId).steps())
  steps.push([key, status, attempt, resolution ?? null])
const report: DoubtAppReport = { told, steps, doubts, questions, modelCalls }
writeSync(1, JSON.stringify(report))
