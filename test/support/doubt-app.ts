/**
 * A program for tests: an effect on the outside world, a server that it tells of each attempt, under one of the policies of `doubt-app-policies.ts`. It kills itself
 * at a named moment, or lives to its end and says what came of it. The orders, done one after the other, are the JSON of argv[2].
 */
import { writeSync } from 'node:fs'
import { buildAgent, fromStep, openRuntime, type Runtime, type RuntimeEvent, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { type DoubtAppOrder, type DoubtAppPolicy, type DoubtAppReport, doubtPolicies } from './doubt-app-policies.ts'

const die = (): void => void process.kill(process.pid, 'SIGKILL')

const toText = (value: unknown): string => {
  if (value instanceof Error) return `${'code' in value ? value.code : value.name}: ${value.message}`
  return typeof value === 'string' ? value : JSON.stringify(value)
}

const OTHER = 'other/other'

/** Batches reach the disk in order: when a later turn is there, what came before it is. */
async function whenDurable(runtime: Runtime): Promise<void> {
  const other = buildAgent({ name: 'other', systemPrompt: '', model: 'scripted' }, { model: scriptedModel(['pong']) })
  await runtime.durable(other).session('other').run('ping')
}

async function live({ directory, world, policy, mode, moment }: DoubtAppOrder): Promise<DoubtAppReport> {
  const { effect, onDoubt, recover, answer }: DoubtAppPolicy = doubtPolicies[policy]
  const doubts: [string, string][] = []
  const questions: string[] = []
  let modelCalls: DoubtAppReport['modelCalls']

  const isEffect = ({ kind }: { readonly kind: string }): boolean => kind === 'tool' || kind === 'step'
  function onEvent(event: RuntimeEvent): void {
    if ('runId' in event && event.runId === OTHER) return
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
    if (moment === 'before it has settled' && event.type === 'call.settled' && isEffect(event)) die()
    if (moment !== 'after it has settled') return
    if (event.type === 'checkpoint.finished' && event.kind === 'step') die() // it is on disk
    if (event.type === 'call.settled' && isEffect(event)) void whenDurable(runtime).then(die)
  }

  const dieIn = async (time: typeof moment): Promise<void> => {
    if (moment !== time) return
    await whenDurable(runtime)
    die()
  }
  async function act({ key, attempt }: { readonly key: string; readonly attempt: number }): Promise<string> {
    await dieIn('after the intent')
    await fetch(world, { method: 'POST', body: JSON.stringify({ key, attempt }) })
    await dieIn('during the effect')
    if (mode === 'flow' && moment === 'before it has settled') queueMicrotask(die)
    return `did ${attempt}`
  }
  const askWorld = async (key: string): Promise<number[]> => {
    const seen = (await (await fetch(world)).json()) as { key: string; attempt: number }[] // what `act` told
    return seen.filter((one) => one.key === key).map(({ attempt }) => attempt)
  }
  const recovery = recover && { recover: ({ key }: { readonly key: string }) => recover(key, askWorld) }
  const input = z.object({ to: z.string() })
  const doubt = { ...recovery, ...(onDoubt && { onDoubt }) }
  const send = tool({ name: 'send', description: 'Sends', effect, input, run: (_, context) => act(context), ...doubt })
  const model = scriptedModel(async ({ messages }) => {
    const told = messages.find(({ role }) => role === 'tool')
    if (told !== undefined) return moment === undefined ? told.content : { fault: 'hang' }
    if (moment === 'before the intent') await whenDurable(runtime) // that it was asked
    return { toolCalls: [{ name: 'send', arguments: { to: 'Ada' }, id: 'call_1' }] }
  })
  const profile = { name: 'sender', systemPrompt: '', model: 'gpt-5-mini', allowedTools: ['send'] }
  const agent = buildAgent(profile, { model, tools: [send] })

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
          input: () => (moment === 'before the intent' ? die() : undefined),
          onDone: { target: 'done', actions: assign({ told: ({ event }) => toText(event.output) }) },
          onError: { target: 'done', actions: assign({ told: ({ event }) => toText(event.error) }) },
        },
      },
      done: { type: 'final' },
    },
  })
  const machines = [agent.machine, machine]
  await using runtime = await openRuntime({ directory, machines, log: 'silent', autoResume: false, onEvent })

  const modes: Readonly<Record<typeof mode, () => Promise<readonly [runId: string, told: string]>>> = {
    async session() {
      const session = runtime.durable(agent).session('one')
      return [session.runId, (await session.run('Send it.')).output]
    },
    async agent() {
      const run = await runtime.start(agent.machine, { id: 'agent', input: { prompt: 'Send it.' } })
      return [run.id, (await run.done())?.output ?? '']
    },
    async machine() {
      const run = await runtime.start(machine, { id: 'machine' })
      await run.send({ type: 'go' }, { id: 'go' })
      return [run.id, String(await run.done())]
    },
    async flow() {
      const flow = runtime.flow('flow', async (_input: undefined, context) => {
        if (moment === 'before the intent') die()
        return context.step('send', act, stepDoubt).catch(toText).then(toText)
      })
      return ['flow', await flow.run(undefined, { id: 'flow' })]
    },
  }
  const [runId, told] = await modes[mode]()
  if (moment !== undefined) await new Promise(() => {}) // it is on its way out
  const steps: DoubtAppReport['steps'][number][] = []
  for await (const { key, status, attempt, resolution } of runtime.get(runId).steps())
    steps.push([key, status, attempt, resolution ?? null])
  return { told, steps, doubts, questions, modelCalls }
}

const reports: DoubtAppReport[] = []
for (const order of JSON.parse(process.argv[2] ?? '') as DoubtAppOrder[]) reports.push(await live(order)) // written by the test
writeSync(1, JSON.stringify(reports))
