/** What the types of the public API accept and refuse. `npm run types` is what checks it; running it shows that both agree. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Agent,
  buildAgent,
  buildTools,
  type Flow,
  isPerdureError,
  type Model,
  openaiModel,
  openMemoryStore,
  openRuntime,
  type PerdureErrorCode,
  type Profile,
  type Runtime,
  type TurnResult,
  tool,
} from 'perdure'
import { openaiServer, scriptedModel } from 'perdure/testing'
import { z } from 'zod'

const profile: Profile = { name: 'default', systemPrompt: 'Be brief.', model: 'gpt-5-mini' }

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only when `Expected` is exactly the type of the value. */
function exactly<Expected>() {
  return <Actual>(_value: Actual, _same: Equal<Actual, Expected>): void => {}
}

/** Is compiled and never called. */
const compiled = (_code: (...given: never[]) => unknown): void => {}

test('a profile refuses unknown keys and wrong values', () => {
  // @ts-expect-error an unknown key
  assert.throws(() => buildAgent({ ...profile, tempature: 1 } satisfies Profile), { code: 'PROFILE_INVALID' })
  // @ts-expect-error an unknown key
  assert.throws(() => buildAgent({ name: 'a', systemPrompt: '', model: 'm', tools: [] }), { code: 'PROFILE_INVALID' })
  // @ts-expect-error no model
  assert.throws(() => buildAgent({ name: 'a', systemPrompt: '' }), { code: 'PROFILE_INVALID' })
  // @ts-expect-error a text instead of a list
  assert.throws(() => buildAgent({ ...profile, allowedTools: 'exec' }), { code: 'PROFILE_INVALID' })
  // @ts-expect-error an unknown setting
  assert.throws(() => buildAgent({ ...profile, settings: { topK: 3 } }), { code: 'PROFILE_INVALID' })
  // @ts-expect-error a text instead of a number
  assert.throws(() => buildAgent({ ...profile, maxSteps: '10' }), { code: 'PROFILE_INVALID' })
})

test('the options of an agent refuse unknown keys and what is no tool', () => {
  // @ts-expect-error an unknown option
  compiled(() => buildAgent(profile, { baseURL: 'http://127.0.0.1/v1' }))
  // @ts-expect-error a function is no tool
  assert.throws(() => buildAgent(profile, { tools: [() => 'done'] }), TypeError)
  // @ts-expect-error names are texts
  compiled(() => buildTools([1]))
  compiled(() => openaiModel({ api: 'responses', prices: { m: { inputPerMillionUsd: 1, outputPerMillionUsd: 2 } } }))
  // @ts-expect-error there is no such API
  compiled(() => openaiModel({ api: 'completions' }))
})

test('the input of a tool has the type of its schema', () => {
  tool({
    name: 'add',
    description: 'Adds',
    input: z.object({ a: z.number(), b: z.number().default(1), note: z.string().optional() }),
    run(input, context) {
      exactly<number>()(input.a, true)
      exactly<number>()(input.b, true)
      exactly<string | undefined>()(input.note, true)
      exactly<AbortSignal>()(context.signal, true)
      exactly<string>()(context.key, true)
      // @ts-expect-error not in the schema
      return input.c
    },
  })
  // @ts-expect-error an input schema is required
  assert.throws(() => tool({ name: 'a', description: '', run: () => 1 }), TypeError)
})

test('a flow is typed from its function', () => {
  compiled((runtime: Runtime, agent: Agent) => {
    const durable = runtime.durable(agent)
    const flow = runtime.flow('order', async (order: { id: string }, { step, runId, attempt }) => {
      exactly<string>()(runId, true)
      exactly<number>()(attempt, true)
      const count = await step('count', async ({ key }) => key.length)
      exactly<number>()(count, true)
      const turn = await durable.run(order.id)
      exactly<TurnResult>()(turn, true)
      return { count, text: turn.output }
    })
    exactly<Flow<{ id: string }, { count: number; text: string }>>()(flow, true)
    exactly<Promise<{ count: number; text: string }>>()(flow.run({ id: '1' }, { id: 'order-1', cache: false }), true)
    // @ts-expect-error another input
    flow.run('1')
    // @ts-expect-error no input
    flow.run()
    // @ts-expect-error an unknown option
    flow.run({ id: '1' }, { key: 'order-1' })
  })
})

test('a checkpoint is `turn` or `calls`', () => {
  compiled((runtime: Runtime, agent: Agent) => {
    runtime.durable(agent)
    runtime.durable(agent, { checkpoint: 'turn' })
    runtime.durable(agent, { checkpoint: 'calls' })
    // @ts-expect-error there is no such strategy
    runtime.durable(agent, { checkpoint: 'steps' })
    // @ts-expect-error a profile is no agent
    runtime.durable(profile)
  })
})

test('a runtime needs a directory and knows its options', async () => {
  // @ts-expect-error no directory
  await assert.rejects(openRuntime({}), TypeError)
  // @ts-expect-error either of both
  await assert.rejects(openRuntime({ directory: '.perdure', store: await openMemoryStore() }), TypeError)
  // @ts-expect-error there is no such durability
  compiled(() => openRuntime({ directory: '.perdure', durability: 'none' }))
})

test('an event is narrowed by its type', () => {
  compiled((runtime: Runtime) =>
    runtime.subscribe((event) => {
      exactly<number>()(event.time, true)
      if (event.type === 'text.received') exactly<string>()(event.delta, true)
      // @ts-expect-error not every event has a delta
      event.delta
      // @ts-expect-error there is no such event
      if (event.type === 'run.exploded') return
    }),
  )
})

test('error codes are a union', () => {
  isPerdureError(new Error(), 'STORE_LOCKED')
  // @ts-expect-error there is no such code
  isPerdureError(new Error(), 'STORE_LOKED')
  compiled((error: unknown) => {
    if (isPerdureError(error)) exactly<PerdureErrorCode>()(error.code, true)
  })
})

test('a scripted model is a model, and a script knows its faults', () => {
  const model: Model = scriptedModel(['Hello.'])
  buildAgent(profile, { model })
  // @ts-expect-error there is no such fault
  compiled(() => openaiServer({ script: [{ fault: 'explode' }] }))
  // @ts-expect-error a script is required
  compiled(() => openaiServer({}))
})
