/** P8: time survives. Deadlines of machines over restarts, jumps of the clock and years of waiting. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createTestClock } from 'perdure/testing'
import { assign, cancel, raise, sendTo, setup } from 'xstate'
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
  const clock = createTestClock({ now: START })
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

test('ended runs are removed by policy: the oldest first, never a live one', async () => {
  const directory = room.directory()
  const clock = createTestClock({ now: START })
  const machine = setup({}).createMachine({
    id: 'short',
    initial: 'a',
    states: { a: { on: { end: 'b' } }, b: { type: 'final' } },
  })
  const runtime = await room.open(directory, [machine], { clock, retention: { maxRuns: 2 } })
  for (const id of ['r1', 'r2', 'r3', 'r4', 'live']) {
    const run = await runtime.start(machine, { id })
    await clock.advance(1_000)
    if (id !== 'live') await run.send({ type: 'end' })
  }
  const list = async (): Promise<string[]> => {
    const ids: string[] = []
    for await (const { id } of runtime.runs()) ids.push(id)
    return ids
  }
  for (let round = 0; round < 50 && (await list()).length > 3; round++) await clock.advance(60_000)
  assert.deepEqual(await list(), ['live', 'r3', 'r4'])
  assert.deepEqual(
    runtime.events.filter(({ type }) => type === 'run.removed').map(({ runId }) => runId),
    ['r1', 'r2'],
  )
  await runtime.close()
})
