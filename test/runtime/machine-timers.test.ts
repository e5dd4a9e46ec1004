/** P8: time survives. Deadlines of machines over restarts, jumps of the clock and years of waiting. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Run } from 'perdure'
import { type TestClock, testClock } from 'perdure/testing'
import { type AnyEventObject, type AnyStateMachine, assign, cancel, createMachine, raise, sendTo, setup } from 'xstate'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'

let room: MachineRoom
before(async () => {
  room = await createMachineRoom()
})
after(() => room.remove())

const DAY_MS = 86_400_000
const START = Date.UTC(2026, 0, 1)

const createSleeper = (delay: number) =>
  setup({
    types: { context: {} as { readonly rings: number; readonly heard: readonly string[] } },
    delays: { named: delay },
    actors: {
      child: setup({ types: { context: {} as { readonly got: number } } }).createMachine({
        id: 'child',
        context: { got: 0 },
        initial: 'dozing',
        on: { poke: { actions: assign({ got: ({ context }) => context.got + 1 }) } },
        states: { dozing: { after: { [delay]: 'awake' } }, awake: {} },
      }),
    },
  }).createMachine({
    id: 'sleeper',
    context: { rings: 0, heard: [] },
    invoke: { id: 'child', src: 'child' },
    initial: 'idle',
    on: {
      note: { actions: assign({ heard: ({ context, event }) => [...context.heard, event.what as string] }) },
      later: { actions: raise(({ event }) => ({ type: 'note', what: event.what }), { delay, id: 'later' }) },
      stop: { actions: cancel('later') },
      poke: { actions: sendTo('child', { type: 'poke' }, { delay }) },
    },
    states: {
      idle: { on: { sleep: 'sleeping', doze: 'dozing' } },
      sleeping: { after: { [delay]: { target: 'up', actions: assign({ rings: ({ context }) => context.rings + 1 }) } } },
      dozing: { after: { named: 'up' }, on: { wake: 'idle' } },
      up: {},
    },
  })
type Sleeper = ReturnType<typeof createSleeper>

/** A store with one run, which was sent `events`, and its clock; nobody has it open. */
async function prepare(delay: number, ...events: readonly Parameters<ReturnType<typeof createRun>>[0][]) {
  const directory = room.directory()
  const clock = testClock({ now: START })
  const machine = createSleeper(delay)
  const runtime = await room.open(directory, [machine], { clock })
  const run = await runtime.start(machine, { id: 'x' })
  for (const event of events) await run.send(event)
  await runtime.close()
  const reopen = async (options = {}) => {
    const again = await room.open(directory, [createSleeper(delay)], { clock, ...options })
    return { runtime: again, run: again.get<Sleeper>('x') }
  }
  return { clock, reopen }
}
const createRun =
  () =>
  (_event: { type: string; what?: string }): void => {}

test('a delayed transition keeps its deadline over a restart: what has passed counts', async () => {
  const { clock, reopen } = await prepare(10_000, { type: 'sleep' })
  await clock.advance(6_000)
  const { runtime, run } = await reopen()
  await clock.advance(3_900)
  assert.equal((await run.snapshot()).value, 'sleeping')
  await clock.advance(200)
  await run.waitFor('up')
  await runtime.close()
})

test('one that is overdue fires once and at once when the store is opened, without anybody asking', async () => {
  const { clock, reopen } = await prepare(10_000, { type: 'sleep' })
  await clock.advance(60_000)
  for (let opening = 0; opening < 3; opening++) {
    const { runtime, run } = await reopen()
    assert.equal((await run.waitFor('up')).context.rings, 1)
    await runtime.close()
  }
})

test('a delay may be 400 days, also while nobody has the run in memory', async () => {
  const { clock, reopen } = await prepare(400 * DAY_MS, { type: 'sleep' })
  const { runtime, run } = await reopen({ passivate: { afterMs: 1_000, maxIdle: 0 } })
  await runtime.resume()
  await clock.advance(26 * DAY_MS) // longer than a timeout of Node can be
  clock.set(START + 399 * DAY_MS) // the machine slept
  await clock.advance(60_000)
  assert.equal((await run.snapshot()).value, 'sleeping')
  const up = run.waitFor('up')
  clock.set(START + 400 * DAY_MS)
  await clock.advance(60_000)
  assert.equal((await up).context.rings, 1)
  await runtime.close()
})

test('named delays, delays of children and delayed events to children come back too', async () => {
  const { clock, reopen } = await prepare(10_000, { type: 'doze' }, { type: 'poke' })
  await clock.advance(9_000)
  const { runtime, run } = await reopen()
  const all = run.waitFor(({ value, children }) => {
    const child = children.child?.getSnapshot()
    return value === 'up' && child?.value === 'awake' && child?.context.got === 1
  })
  await clock.advance(1_000)
  await all
  await runtime.close()
})

test('what was cancelled stays so after a restart, and what is cancelled after one does not fire', async () => {
  const cancelled = await prepare(10_000, { type: 'later', what: 'a' }, { type: 'stop' })
  const first = await cancelled.reopen()
  await cancelled.clock.advance(20_000)
  assert.deepEqual((await first.run.snapshot()).context.heard, [])
  await first.runtime.close()

  const pending = await prepare(10_000, { type: 'later', what: 'a' }, { type: 'doze' })
  const second = await pending.reopen()
  await second.run.send({ type: 'stop' })
  await second.run.send({ type: 'wake' })
  await pending.clock.advance(20_000)
  const { context, value } = await second.run.snapshot()
  assert.deepEqual([context.heard, value], [[], 'idle'])
  await second.runtime.close()
})

test('a clock that jumps back loses nothing, while the store is open and while it is closed', async () => {
  const { clock, reopen } = await prepare(10_000, { type: 'sleep' })
  clock.set(START - 3_600_000)
  const { runtime, run } = await reopen()
  const up = run.waitFor('up')
  await clock.advance(5_000)
  clock.set(START - 2 * 3_600_000)
  await clock.advance(4 * 3_600_000)
  assert.equal((await up).context.rings, 1)
  await runtime.close()
})

test('without autoResume a deadline waits until the run is asked for, or all are resumed', async () => {
  const { clock, reopen } = await prepare(10_000, { type: 'sleep' })
  await clock.advance(60_000)
  const { runtime, run } = await reopen({ autoResume: false })
  await clock.advance(60_000)
  assert.equal((await run.snapshot()).value, 'sleeping')
  await runtime.resume()
  await run.waitFor('up')
  await runtime.close()
})

test('with the clock of the system a delay takes its time', async () => {
  const machine = createSleeper(50)
  const runtime = await room.open(room.directory(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  const startedAt = Date.now()
  await run.send({ type: 'sleep' })
  await run.waitFor('up')
  assert.ok(Date.now() - startedAt >= 49)
  await runtime.close()
})

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** Each kind of delay, in an hour: counted in `fired`, in the order in which they came. `stop` cancels what it set. */
type Context = { readonly fired: readonly string[] }
const context: Context = { fired: [] }
const note = (what: string) =>
  assign<Context, AnyEventObject, undefined, AnyEventObject, never>({ fired: ({ context }) => [...context.fired, what] })

const withAfter = () =>
  setup({
    types: { context: {} as Context },
    delays: { named: HOUR, computed: ({ context }) => HOUR + context.fired.length },
  }).createMachine({
    id: 'timed',
    context,
    type: 'parallel',
    states: {
      number: { initial: 'waiting', states: { waiting: { after: { [HOUR]: 'over' } }, over: { entry: note('number') } } },
      named: { initial: 'waiting', states: { waiting: { after: { named: 'over' } }, over: { entry: note('named') } } },
      computed: { initial: 'waiting', states: { waiting: { after: { computed: 'over' } }, over: { entry: note('computed') } } },
    },
    on: { stop: { target: ['.number.over', '.named.over', '.computed.over'], actions: note('stopped') } },
  })

const withRaise = () =>
  setup({ types: { context: {} as Context } }).createMachine({
    id: 'timed',
    context,
    entry: [raise({ type: 'rang' }, { delay: HOUR, id: 'alarm' }), raise({ type: 'unnamed' }, { delay: HOUR })],
    on: {
      rang: { actions: note('raise') },
      unnamed: { actions: note('unnamed') },
      stop: { actions: [cancel('alarm'), note('stopped')] },
    },
  })

const child = () =>
  setup({ types: { context: {} as Context } }).createMachine({
    id: 'child',
    context,
    initial: 'waiting',
    states: { waiting: { after: { [2 * HOUR]: 'over' } }, over: { entry: note('own') } },
    on: { poke: { actions: note('poked') } },
  })
const withChild = () =>
  setup({ types: { context: {} as Context }, actors: { child: child() } }).createMachine({
    id: 'timed',
    context,
    invoke: { src: 'child', id: 'kid' },
    entry: sendTo('kid', { type: 'poke' }, { delay: HOUR, id: 'poke' }),
    on: { stop: { actions: [cancel('poke'), note('stopped')] } },
  })

/** A run that was dropped from memory meanwhile comes back through the disk: that takes real time. */
const assertFired = async (run: Run, fired: (run: Run) => Promise<readonly string[]>, all: readonly string[]): Promise<void> => {
  for (let turn = 0; turn < 1000 && (await fired(run)).length < all.length; turn++)
    await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(await fired(run), all)
}
const firedOf = async (run: Run): Promise<readonly string[]> => (await run.snapshot()).context.fired
const firedOfChild = async (run: Run): Promise<readonly string[]> =>
  (await run.snapshot()).children.kid?.getSnapshot().context.fired

describe('a delay of a machine', () => {
  /** Its run in a new process each time: `between` is what happens while none is there. */
  const createLife = (toMachine: () => AnyStateMachine, clock: TestClock = testClock()) => {
    const directory = room.directory()
    return {
      clock,
      async live<T>(fn: (run: Run, runtime: Awaited<ReturnType<MachineRoom['open']>>) => Promise<T>, options = {}): Promise<T> {
        const machine = toMachine()
        const runtime = await room.open(directory, [machine], { clock, ...options })
        try {
          return await fn(await runtime.start(machine, { id: 'run' }), runtime)
        } finally {
          await runtime.close()
          assert.equal(clock.pending, 0, 'a closed runtime leaves a timeout behind')
        }
      },
      /** Opens without touching the run: it has to wake up by itself. */
      async wake<T>(fn: (run: Run, runtime: Awaited<ReturnType<MachineRoom['open']>>) => Promise<T>, options = {}): Promise<T> {
        const runtime = await room.open(directory, [toMachine()], { clock, ...options })
        try {
          return await fn(runtime.get('run'), runtime)
        } finally {
          await runtime.close()
          assert.equal(clock.pending, 0, 'a closed runtime leaves a timeout behind')
        }
      },
    }
  }

  const kinds: readonly [string, () => AnyStateMachine, (run: Run) => Promise<readonly string[]>, readonly string[]][] = [
    ['after', withAfter, firedOf, ['number', 'named', 'computed']],
    ['raise', withRaise, firedOf, ['raise', 'unnamed']],
    ['sendTo a child', withChild, firedOfChild, ['poked']],
  ]
  for (const [kind, toMachine, fired, all] of kinds) {
    test(`of ${kind} is over at its time, not before, and once`, async () => {
      const { clock, live } = createLife(toMachine)
      await live(async (run) => {
        await clock.advance(HOUR - 1)
        assert.deepEqual(await fired(run), [])
        await clock.advance(1)
        await assertFired(run, fired, all)
        await clock.advance(50 * MINUTE)
        await assertFired(run, fired, all)
      })
    })

    test(`of ${kind} keeps its deadline over restarts: what is left of it is waited for`, async () => {
      const { clock, live, wake } = createLife(toMachine)
      await live(() => clock.advance(20 * MINUTE))
      await clock.advance(20 * MINUTE)
      await wake(() => clock.advance(10 * MINUTE))
      await wake(async (run) => {
        await clock.advance(10 * MINUTE - 1)
        assert.deepEqual(await fired(run), [])
        await clock.advance(1)
        await assertFired(run, fired, all)
      })
      await wake(async (run) => assertFired(run, fired, all))
    })

    test(`of ${kind} that is overdue is over at once when the runtime opens, and once`, async () => {
      const { clock, live, wake } = createLife(toMachine)
      await live(async () => {})
      clock.set(clock.now() + HOUR + 1)
      await wake(async (run) => {
        const done = Promise.withResolvers<void>()
        run.subscribe(() => done.resolve())
        if ((await fired(run)).length < all.length) await done.promise
        await clock.advance(0)
        await assertFired(run, fired, all)
      })
      await wake(async (run) => {
        await clock.advance(50 * MINUTE)
        await assertFired(run, fired, all)
      })
    })

    test(`of ${kind} that was cancelled does not come, also when that was in another process`, async () => {
      for (const setBefore of [false, true]) {
        const { clock, live, wake } = createLife(toMachine)
        const left = kind === 'raise' ? ['unnamed'] : []
        await live(async (run) => {
          if (!setBefore) await run.send({ type: 'stop' })
        })
        await wake(async (run) => {
          if (setBefore) await run.send({ type: 'stop' })
        })
        await wake(async (run) => {
          const known = await fired(run)
          await clock.advance(HOUR + SECOND)
          await assertFired(run, fired, [...known, ...left])
        })
      }
    })

    test(`of ${kind} is not delayed by a clock that goes back while the runtime is open`, async () => {
      const { clock, live } = createLife(toMachine)
      await live(async (run) => {
        await clock.advance(30 * MINUTE)
        clock.set(clock.now() - DAY_MS)
        await clock.advance(30 * MINUTE - SECOND)
        assert.deepEqual(await fired(run), [])
        await clock.advance(MINUTE + 2 * SECOND)
        await assertFired(run, fired, all)
      })
    })

    test(`of ${kind} is not lost to a clock that goes back while the runtime is closed`, async () => {
      const { clock, live, wake } = createLife(toMachine)
      const dueAt = clock.now() + HOUR
      await live(() => clock.advance(30 * MINUTE))
      clock.set(clock.now() - 2 * HOUR)
      await wake(async (run) => {
        await clock.advance(dueAt - clock.now() - 1)
        assert.deepEqual(await fired(run), [])
        await clock.advance(2)
        await assertFired(run, fired, all)
      })
    })

    test(`of ${kind} is not early for a clock that goes forwards and is corrected while the runtime is closed`, async () => {
      const { clock, live, wake } = createLife(toMachine)
      await live(async () => {})
      clock.set(clock.now() + 30 * MINUTE)
      await wake(async (run) => assert.deepEqual(await fired(run), []))
      clock.set(clock.now() - 30 * MINUTE)
      await wake(async (run) => {
        await clock.advance(HOUR - SECOND)
        assert.deepEqual(await fired(run), [])
        await clock.advance(SECOND + 1)
        await assertFired(run, fired, all)
      })
    })
  }

  test('of a child is over at its own time, in a process that came later', async () => {
    const { clock, live, wake } = createLife(withChild)
    await live(() => clock.advance(90 * MINUTE))
    await wake(async (run) => {
      await clock.advance(30 * MINUTE - 1)
      await assertFired(run, firedOfChild, ['poked'])
      await clock.advance(1)
      await assertFired(run, firedOfChild, ['poked', 'own'])
    })
  })

  const short = () =>
    createMachine({
      id: 'short',
      initial: 'waiting',
      states: { waiting: { after: { [HOUR]: 'over' } }, over: { type: 'final' } },
    })
  /** Resolves when the runtime says that the run has come to its end. */
  const completed = (runtime: Awaited<ReturnType<MachineRoom['open']>>): Promise<void> =>
    new Promise((resolve) => {
      const check = (): void => void (runtime.events.some(({ type }) => type === 'machine.completed') && resolve())
      runtime.subscribe(check)
      check()
    })

  test('wakes a run that was dropped from memory', async () => {
    const { clock, live } = createLife(short)
    let starts = 0
    const inspect = (event: { readonly type: string }): void => void (event.type === '@xstate.actor' && starts++)
    await live(
      async (_run, runtime) => {
        assert.equal(starts, 1)
        await clock.advance(2 * SECOND)
        await clock.advance(HOUR - 2 * SECOND - 1)
        assert.equal(starts, 1)
        const over = completed(runtime)
        await clock.advance(1)
        await over
        assert.equal(starts, 2, 'it was in memory all the time')
      },
      { inspect, passivate: { afterMs: SECOND, maxIdle: 0 } },
    )
  })
})
