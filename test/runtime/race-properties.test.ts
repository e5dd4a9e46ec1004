/** Sending, resuming, cancelling, passivating and closing at once: `fc.scheduler()` decides when the store answers whom. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { fromStep, isPerdureError, openMemoryStore, openRuntime, type Run, type StepArguments, type Store } from 'perdure'
import { assign, setup } from 'xstate'

const toMachine = (executed: string[]) =>
  setup({
    types: {
      context: {} as { readonly taken: readonly number[]; readonly worked: readonly string[] },
      events: {} as { readonly type: 'add' | 'work'; readonly n: number },
    },
    actors: {
      work: fromStep(({ input, key }: StepArguments<number>) => {
        executed.push(key)
        return `worked ${input}`
      }),
    },
    actions: { take: assign({ taken: ({ context, event }) => [...context.taken, event.n] }) },
  }).createMachine({
    id: 'list',
    context: { taken: [], worked: [] },
    initial: 'idle',
    on: { add: { actions: 'take' } },
    states: {
      idle: { on: { work: { target: 'working', actions: 'take' } } },
      working: {
        on: { work: { actions: 'take' } },
        invoke: {
          src: 'work',
          input: ({ event }) => event.n,
          onDone: { target: 'idle', actions: assign({ worked: ({ context, event }) => [...context.worked, event.output] }) },
        },
      },
    },
  })

/** The store, but each answer comes when the scheduler says. */
const schedule = (store: Store, s: fc.Scheduler): Store => ({
  location: store.location,
  epoch: store.epoch,
  get: async (key) => s.schedule(store.get(key), `get ${key}`),
  getMany: async (keys) => s.schedule(store.getMany(keys), 'getMany'),
  async *entries(range) {
    await s.schedule(Promise.resolve(), `entries ${range.gte}`)
    yield* store.entries(range)
  },
  async write(operations, options) {
    await s.schedule(Promise.resolve(), 'write')
    await store.write(operations, options)
    await s.schedule(Promise.resolve(), 'written')
  },
  compact: () => store.compact(),
  close: async () => {},
  [Symbol.asyncDispose]: async () => {},
})

const act = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constantFrom('add', 'work'), n: fc.integer({ min: 0, max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constantFrom('snapshot', 'resume', 'turn') }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constantFrom('cancel', 'close') }) },
)
/** What may be said to one who asked too late. */
const refusals = ['RUN_ENDED', 'RUN_CANCELLED', 'ABORTED', 'STORE_CLOSED', 'RUNTIME_CLOSED']

test('events that are acknowledged are taken once, whatever else happens to the run at once', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.array(act, { minLength: 2, maxLength: 14 }), async (s, acts) => {
      const executed: string[] = []
      const machine = toMachine(executed)
      const store = await openMemoryStore()
      const open = (on: Store) =>
        openRuntime({ store: on, machines: [machine], log: 'silent', passivate: { afterMs: 0, maxIdle: 0 } })
      const acknowledged = new Set<number>()
      let isCancelled = false
      let runtime = await s.waitFor(open(schedule(store, s)))
      let run: Run<typeof machine> = await s.waitFor(runtime.start(machine, { id: 'x' }))
      const underWay: Promise<unknown>[] = []
      const during = (promise: Promise<unknown>, then: () => void = () => {}): void => {
        underWay.push(
          promise.then(then, (error: unknown) => {
            if (!isPerdureError(error) || !refusals.includes(error.code)) throw error
          }),
        )
      }
      for (const one of acts) {
        if ('n' in one) during(run.send({ type: one.type, n: one.n }, { id: `${one.n}` }), () => acknowledged.add(one.n))
        else if (one.type === 'snapshot') during(run.snapshot())
        else if (one.type === 'resume') during(runtime.resume())
        else if (one.type === 'turn') await s.waitFor(new Promise((resolve) => setImmediate(resolve)))
        else if (one.type === 'cancel') {
          during(run.cancel('enough'), () => {
            isCancelled = true
          })
        } else {
          await s.waitFor(runtime.close())
          runtime = await s.waitFor(open(schedule(store, s)))
          run = runtime.get<typeof machine>('x')
        }
      }
      await s.waitFor(Promise.all(underWay))
      await s.waitFor(runtime.close())

      const after = await open(store)
      const found = after.get<typeof machine>('x')
      let isOver = false
      for await (const { status } of after.runs({ status: 'cancelled' })) isOver = status === 'cancelled'
      if (!isOver) await found.waitFor('idle')
      const { context } = await found.snapshot()
      await after.close()
      if (isCancelled) assert.ok(isOver, 'cancelled, and goes on')
      assert.deepEqual([...context.taken].sort(), [...new Set(context.taken)].sort(), 'taken twice')
      for (const n of acknowledged) assert.ok(context.taken.includes(n), `${n} was acknowledged, and is lost`)
      assert.deepEqual(context.worked, [...new Set(context.worked)])
      // A step that was cut off by the end of its runtime is executed once more.
      const closings = 1 + acts.filter(({ type }) => type === 'close').length
      for (const key of new Set(executed))
        assert.ok(executed.filter((each) => each === key).length <= 1 + closings, `${key} was executed too often`)
    }),
    { numRuns: 200 },
  )
})
