/** Two things happen to one run at once. A gate holds the one at the worst moment until the other has got as far as it can. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromStep } from 'perdure'
import { assign, fromCallback, setup } from 'xstate'
import { createHookedStore } from '../support/hooked-store.ts'
import { rejectsWith } from '../support/machine-room.ts'

/** Once shut, it holds the first who comes until it is opened; with `all`, everybody. */
function createGate({ all = false } = {}) {
  const reached = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let state: 'not yet' | 'shut' | 'over' = 'not yet'
  return {
    shut() {
      if (state === 'not yet') state = 'shut'
    },
    open() {
      state = 'over'
      opened.resolve()
    },
    /** Resolves when somebody is held. */
    reached: reached.promise,
    async pass(): Promise<void> {
      if (state !== 'shut') return
      if (!all) state = 'over'
      reached.resolve()
      await opened.promise
    },
  }
}

const turns = async (count: number): Promise<void> => {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve))
}
/** As far as it gets while something else is held. */
const untilStuck = (promise: Promise<unknown>): Promise<unknown> => Promise.race([promise.catch(() => {}), turns(100)])
const until = async (condition: () => boolean): Promise<void> => {
  for (let turn = 0; !condition(); turn++) {
    assert.ok(turn < 10_000, 'it does not come')
    await turns(1)
  }
}

const createCounter = () =>
  setup({ types: { context: {} as { readonly n: number; readonly text: string } } }).createMachine({
    id: 'counter',
    context: { n: 0, text: 'x'.repeat(1_000) },
    on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
  })

test('a run is read as it was before or after an event that is sent meanwhile', async () => {
  const machine = createCounter()
  const store = await createHookedStore()
  const first = store.open([machine])
  const run = await first.start(machine, { id: 'x' })
  await run.send({ type: 'add' })
  await first.close()
  const gate = createGate()
  const second = store.open([machine], { read: (key) => (key === 'r/x/b' ? gate.pass() : undefined) })
  gate.shut()
  const same = second.get<typeof machine>('x')
  const reading = same.snapshot()
  await gate.reached
  const sent = same.send({ type: 'add' })
  await untilStuck(sent)
  gate.open()
  assert.ok([1, 2].includes((await reading).context.n))
  await sent
  assert.equal((await same.snapshot()).context.n, 2)
  await second.close()
})

test('a run that fails by itself while somebody sends to it fails once', async () => {
  const gate = createGate()
  const machine = setup({ types: { context: {} as { readonly kept: unknown } } }).createMachine({
    id: 'm',
    context: { kept: undefined },
    after: {
      5: {
        actions: assign({
          kept: () => {
            gate.shut()
            return () => 'a function'
          },
        }),
      },
    },
    on: { any: {} },
  })
  const store = await createHookedStore()
  const runtime = store.open([machine], { read: (key) => (key === 'h/x' ? gate.pass() : undefined) })
  let failures = 0
  runtime.subscribe(({ type }) => void (type === 'machine.failed' && failures++))
  const run = await runtime.start(machine, { id: 'x' })
  const ended = rejectsWith(run.done({ timeoutMs: 1_000 }), 'VALUE_NOT_STORABLE')
  await gate.reached // the failure is about to be recorded
  const sent = run.send({ type: 'any' })
  await untilStuck(sent)
  gate.open()
  await rejectsWith(sent, 'RUN_ENDED')
  await ended
  assert.equal((await run.snapshot()).context.kept, undefined)
  await runtime.close()
  assert.equal(failures, 1)
  const index = (await store.keys()).filter((key) => /^[fw]/.test(key))
  assert.match(index.join(), /^f\/\d{16}\/x$/)
})

test('a run that is deleted while its commit waits for that of another leaves nothing', async () => {
  const machine = createCounter()
  const store = await createHookedStore()
  const gate = createGate({ all: true })
  const runtime = store.open([machine], { write: () => gate.pass() })
  const [run, other] = [await runtime.start(machine, { id: 'x' }), await runtime.start(machine, { id: 'other' })]
  gate.shut()
  const first = other.send({ type: 'add' })
  await gate.reached
  const waiting = rejectsWith(run.send({ type: 'add' }, { id: 'e' }), 'RUN_NOT_FOUND')
  const deleted = runtime.delete('x')
  await untilStuck(deleted)
  gate.open()
  assert.equal(await deleted, true)
  await Promise.all([first, waiting])
  assert.deepEqual(
    (await store.keys()).filter((key) => /\/x(\/|$)/.test(key)),
    [],
  )
  await rejectsWith(run.snapshot(), 'RUN_NOT_FOUND')
  await runtime.start(machine, { id: 'x' })
  await run.send({ type: 'add' }, { id: 'e' })
  assert.equal((await run.snapshot()).context.n, 1)
  await runtime.close()
})

test('a run that takes its next step while it is closed goes on by itself at the next opening', async () => {
  const outcome = Promise.withResolvers<void>()
  let isSecondStarted = false
  const machine = setup({
    actors: {
      one: fromStep(() => outcome.promise),
      two: fromStep(async () => {
        isSecondStarted = true
      }),
    },
  }).createMachine({
    id: 'm',
    initial: 'a',
    on: { any: { actions: () => {} } },
    states: { a: { invoke: { src: 'one', onDone: 'b' } }, b: { invoke: { src: 'two', onDone: 'c' } }, c: { type: 'final' } },
  })
  const store = await createHookedStore()
  const gate = createGate()
  const first = store.open([machine], { write: () => gate.pass() })
  const run = await first.start(machine, { id: 'x' })
  await turns(20) // that `one` began is on disk
  gate.shut()
  const sent = run.send({ type: 'any' }, { id: 'e' }).catch(() => {})
  await gate.reached
  const closed = first.close()
  outcome.resolve()
  await untilStuck(closed)
  gate.open()
  await closed
  await sent
  assert.deepEqual(
    (await store.keys()).filter((key) => key.startsWith('w/')),
    [`w/${'0'.repeat(16)}/x`],
  )
  isSecondStarted = false
  const second = store.open([machine])
  await until(() => isSecondStarted)
  await second.get('x').done({ timeoutMs: 1_000 })
  await second.close()
})

test('nothing of a run lives after closing, whenever it is started or refuses an event', async () => {
  let alive = 0
  const machine = setup({
    types: { context: {} as { readonly kept: unknown } },
    actors: {
      callback: fromCallback(() => {
        alive++
        return () => void alive--
      }),
    },
  }).createMachine({
    id: 'm',
    invoke: { src: 'callback' },
    context: { kept: undefined },
    on: { bad: { actions: assign({ kept: () => () => 'a function' }) } },
  })
  for (const what of ['start', 'bad'] as const) {
    for (let delay = 0; delay < 12; delay++) {
      const store = await createHookedStore()
      const runtime = store.open([machine], { write: () => turns(2), read: () => turns(1) })
      const run = what === 'bad' ? await runtime.start(machine, { id: 'x' }) : undefined
      const racing = (run?.send({ type: 'bad' }) ?? runtime.start(machine, { id: 'x' })).catch(() => {})
      await turns(delay)
      await runtime.close()
      await racing
      await turns(10)
      assert.equal(alive, 0, `${what}, closed after ${delay} turns`)
    }
  }
})

test('a cancellation with a reason that is none is refused at once, and nobody in the batch is disturbed', async () => {
  const machine = createCounter()
  const store = await createHookedStore()
  const gate = createGate()
  const runtime = store.open([machine], { write: () => gate.pass() })
  const [a, b, c] = await Promise.all([
    runtime.start(machine, { id: 'a' }),
    runtime.start(machine, { id: 'b' }),
    runtime.start(machine, { id: 'c' }),
  ])
  const heard: number[] = []
  b.subscribe(({ context }) => heard.push(context.n))
  gate.shut()
  const first = c.send({ type: 'add' })
  await gate.reached
  const refused = assert.rejects(a.cancel(42 as never), TypeError)
  const second = b.send({ type: 'add' }, { id: 'e' })
  await untilStuck(second)
  gate.open()
  await Promise.all([first, refused, second])
  assert.deepEqual(heard, [1])
  await a.send({ type: 'add' })
  assert.equal((await a.snapshot()).context.n, 1)
  await runtime.close()
})

test('that a run has ended is told only when it has: an event beside the bad one is taken by what the run goes on as', async () => {
  const machine = setup({ types: { context: {} as { readonly n: number; readonly kept: unknown } } }).createMachine({
    id: 'm',
    context: { n: 0, kept: undefined },
    initial: 'open',
    states: {
      open: {
        on: {
          add: { actions: assign({ n: ({ context }) => context.n + 1 }) },
          // Final, and not to be kept.
          badEnd: { target: 'over', actions: assign({ kept: () => () => 'a function' }) },
          end: 'over',
        },
      },
      over: { type: 'final' },
    },
  })
  const store = await createHookedStore()
  const runtime = store.open([machine], { read: () => turns(3) })
  const run = await runtime.start(machine, { id: 'x' })
  const refused = rejectsWith(run.send({ type: 'badEnd' }, { id: '1' }), 'VALUE_NOT_STORABLE')
  await Promise.all([refused, run.send({ type: 'add' }, { id: '2' }), run.send({ type: 'add' }, { id: '3' })])
  assert.equal((await run.snapshot()).context.n, 2)
  await Promise.all([run.send({ type: 'end' }, { id: '4' }), run.send({ type: 'end' }, { id: '4' })])
  await run.send({ type: 'end' }, { id: '4' })
  await rejectsWith(run.send({ type: 'add' }), 'RUN_ENDED')
  await runtime.close()
})

test('a run that ends while it is about to be woken is not told of as one that cannot go on', async () => {
  const machine = setup({}).createMachine({
    id: 'm',
    initial: 'asleep',
    states: { asleep: { after: { 20: 'awake' } }, awake: { on: { any: {} } } },
  })
  const store = await createHookedStore()
  const first = store.open([machine], {}, false)
  await first.start(machine, { id: 'x' })
  await first.close()
  await new Promise((resolve) => setTimeout(resolve, 30))
  const gate = createGate()
  const second = store.open([machine], { read: (key) => (key === 'h/x' ? gate.pass() : undefined) }, false)
  const told: string[] = []
  second.subscribe(({ type }) => void told.push(type))
  gate.shut()
  const cancelled = second.get('x').cancel()
  await gate.reached
  const resumed = second.resume() // it is due
  await untilStuck(resumed)
  gate.open()
  await Promise.all([cancelled, resumed])
  assert.deepEqual(told, ['machine.cancelled'])
  await second.close()
})
