/** What a commit costs (P6) and how many there are (P5, group commit): counted at the store, not timed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Runtime } from 'perdure'
import { type AnyStateMachine, assign, setup } from 'xstate'
import { createReporter } from '../../src/observe/reporter.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createRuntime } from '../../src/runtime/runtime.ts'
import { createTempRoom } from '../support/temp-room.ts'

interface Write {
  readonly operations: readonly Operation[]
  readonly sync: boolean | undefined
}

/** A store that outlives its runtimes and remembers what was asked of it. */
function toCountingStore(store: Store) {
  const writes: Write[] = []
  const reads: { key: string; bytes: number }[] = []
  const read = (key: string, value: Uint8Array | undefined): void => void reads.push({ key, bytes: value?.byteLength ?? 0 })
  const counting: Store = {
    location: store.location,
    epoch: store.epoch,
    async get(key) {
      const value = await store.get(key)
      read(key, value)
      return value
    },
    async getMany(keys) {
      const values = await store.getMany(keys)
      for (const [index, key] of keys.entries()) read(key, values[index])
      return values
    },
    async *entries(range) {
      for await (const [key, value] of store.entries(range)) {
        read(key, value)
        yield [key, value] as const
      }
    },
    write(operations, options) {
      writes.push({ operations: [...operations], sync: options?.sync })
      return store.write(operations, options)
    },
    compact: (range) => store.compact(range),
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  return { store: counting, writes, reads, end: () => store.close() }
}

type Counting = ReturnType<typeof toCountingStore>

function open(
  { store }: Counting,
  machines: readonly AnyStateMachine[],
  durability: 'disk' | 'process' = 'disk',
  maxIdle = 10_000,
): Runtime {
  return createRuntime({
    store,
    durability,
    clock: systemClock,
    machines,
    autoResume: true,
    resumeConcurrency: 32,
    idle: { afterMs: 3_600_000, maxIdle },
    retention: undefined,
    inspect: undefined,
    onEvent: undefined,
    reporter: createReporter({ format: 'silent' }),
  })
}

/** Bytes of keys and values; `rebases`: what is written because a new base is, and the deltas that it makes superfluous. */
function toBytes({ operations }: Write): { readonly change: number; readonly rebase: number } {
  let change = 0
  let rebase = 0
  for (const operation of operations) {
    const bytes = operation.key.length + (operation.type === 'put' ? operation.value.byteLength : 0)
    if (/^r\/[^/]+\/b$/.test(operation.key) || operation.type === 'del') rebase += bytes
    else change += bytes
  }
  return { change, rebase }
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0)
const events = 10_000
const item = 'x'.repeat(100)

const small = setup({ types: { context: {} as { readonly n: number } } }).createMachine({
  id: 'small',
  context: { n: 0 },
  on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) }, nothing: {} },
})
const large = setup({ types: { context: {} as { readonly n: number; readonly constant: unknown } } }).createMachine({
  id: 'large',
  // What a user keeps: many objects, each of some text. 200 kB.
  context: {
    n: 0,
    constant: Object.fromEntries(Array.from({ length: 1_000 }, (_, index) => [`key ${index}`, { index, text: item.repeat(2) }])),
  },
  on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
})
const list = setup({ types: { context: {} as { readonly items: readonly string[] } } }).createMachine({
  id: 'list',
  context: { items: [] },
  on: { add: { actions: assign({ items: ({ context }) => [...context.items, item] }) } },
})

test('an event for a run that waits is one write, synced', async () => {
  const counting = toCountingStore(await openMemoryStore())
  const runtime = open(counting, [small])
  const run = await runtime.start(small, { id: 'x' })
  assert.equal(counting.writes.length, 1, 'so is its start')
  for (const id of [undefined, 'named', undefined]) {
    counting.writes.length = 0
    await run.send({ type: 'add' }, { id })
    assert.deepEqual(
      counting.writes.map(({ sync }) => sync),
      [true],
      `sent with id ${id}`,
    )
  }
  await runtime.close()
})

test('with `durability: process` nothing is synced', async () => {
  const counting = toCountingStore(await openMemoryStore())
  const runtime = open(counting, [small], 'process')
  const run = await runtime.start(small, { id: 'x' })
  await run.send({ type: 'add' })
  assert.deepEqual(
    counting.writes.map(({ sync }) => sync),
    [false, false],
  )
  await runtime.close()
})

test('1,000 runs that are sent events at once share their writes: at least 20 events each', async () => {
  const counting = toCountingStore(await openMemoryStore())
  const runtime = open(counting, [small])
  const runs = await Promise.all(Array.from({ length: 1_000 }, (_, index) => runtime.start(small, { id: `r${index}` })))
  const perWrite = async (send: () => Promise<unknown>, sent: number): Promise<number> => {
    counting.writes.length = 0
    await send()
    return sent / counting.writes.length
  }
  const oneEach = await perWrite(() => Promise.all(runs.map((run) => run.send({ type: 'add' }))), 1_000)
  assert.ok(oneEach >= 20, `one event each: ${oneEach}`)
  // Each sender waits for its own event: none knows of the others.
  const inTurn = await perWrite(
    () =>
      Promise.all(
        runs.map(async (run) => {
          for (let n = 0; n < 5; n++) await run.send({ type: 'add' })
        }),
      ),
    5_000,
  )
  assert.ok(inTurn >= 20, `five in turn: ${inTurn}`)
  const named = await perWrite(() => Promise.all(runs.map((run) => run.send({ type: 'add' }, { id: 'e' }))), 1_000)
  assert.ok(named >= 20, `with an id: ${named}`)
  assert.equal((await runtime.get<typeof small>('r999').snapshot()).context.n, 7)
  await runtime.close()
})

test('events for one run that are sent at once share a write', async () => {
  const counting = toCountingStore(await openMemoryStore())
  const runtime = open(counting, [small])
  const run = await runtime.start(small, { id: 'x' })
  counting.writes.length = 0
  await Promise.all(Array.from({ length: 100 }, () => run.send({ type: 'add' })))
  assert.equal(counting.writes.length, 1)
  assert.equal((await run.snapshot()).context.n, 100)
  await runtime.close()
})

test('an event that changes nothing writes nothing', async () => {
  for (const machine of [small, large]) {
    const counting = toCountingStore(await openMemoryStore())
    const runtime = open(counting, [machine])
    const run = await runtime.start<AnyStateMachine>(machine, { id: 'x' })
    await run.send({ type: 'add' })
    counting.writes.length = 0
    await run.send({ type: 'unknown' })
    await run.send({ type: 'nothing' })
    await run.snapshot()
    assert.equal(counting.writes.length, 0, machine.id)
    // With an id there is something to remember: that it was taken.
    await run.send({ type: 'unknown' }, { id: 'e' })
    assert.deepEqual(
      counting.writes.flatMap(({ operations }) => operations.map(({ key }) => key)),
      ['r/x/e/e', ...[2, 3, 4].map((n) => `r/x/s/machine/taken/00000000${n}`), 'h/x'], // so that a replay sends them too
      machine.id,
    )
    await runtime.close()
  }
})

for (const machine of [small, large, list]) {
  test(`a commit costs as much at event ${events} as at event 10, and restoring is bounded: machine \`${machine.id}\``, async (t) => {
    const counting = toCountingStore(await openMemoryStore())
    const runtime = open(counting, [machine])
    const run = await runtime.start<AnyStateMachine>(machine, { id: 'x' })
    const written: ReturnType<typeof toBytes>[] = []
    for (let event = 1; event <= events; event++) {
      counting.writes.length = 0
      await run.send({ type: 'add' })
      assert.equal(counting.writes.length, 1)
      written.push(...counting.writes.map(toBytes))
    }
    const { context } = await run.snapshot()
    await runtime.close()

    // A base is written when the deltas since the last one outweigh it. It is paid for by these, so a single event is compared without it, and all
    // of them together below.
    const change = (event: number): number => written[event - 1]?.change ?? Number.NaN
    const isRebase = (event: number): boolean => (written[event - 1]?.rebase ?? 0) > 0
    const near = (event: number): number => {
      let one = event
      while (isRebase(one)) one--
      return change(one)
    }
    const [early, late] = [near(10), near(events)]
    t.diagnostic(`event 10: ${early} bytes, event ${events}: ${late} bytes`)
    assert.ok(late <= early * 1.1, `${late} bytes at event ${events}, ${early} at event 10`)
    assert.ok(early < 1_000)
    const changes = sum(written.map((one) => one.change))
    const rebases = sum(written.map(({ rebase }) => rebase))
    t.diagnostic(`all: ${changes} bytes of changes, ${rebases} of ${written.filter(({ rebase }) => rebase > 0).length} rebases`)
    assert.ok(rebases <= changes * 2, `${rebases} bytes of rebases, ${changes} of changes`)

    const size = JSON.stringify(context).length
    counting.reads.length = 0
    const again = open(counting, [machine])
    await again.get(run.id).send({ type: 'add' })
    const { reads } = counting
    const ofChain = reads.filter(({ key }) => key.startsWith('r/'))
    const bytes = sum(reads.map((one) => one.bytes))
    t.diagnostic(`a context of ${size} bytes is restored from ${reads.length} records, ${bytes} bytes`)
    assert.equal(ofChain.filter(({ key }) => key === 'r/x/b').length, machine === small ? 0 : 1)
    assert.equal(new Set(ofChain.map(({ key }) => key)).size, ofChain.length, 'each is read once')
    assert.ok(bytes <= 2 * size + 20_000, `${bytes} bytes are read for a context of ${size}`)
    if (machine === small) assert.deepEqual([...new Set(reads.map(({ key }) => key))], ['h/x'])
    counting.reads.length = 0
    await again.get(run.id).send({ type: 'add' })
    assert.deepEqual(counting.reads, [], 'what is in memory is not read again')
    await again.close()
  })
}

const collect = (): number => {
  setFlagsFromString('--expose-gc')
  const gc: () => void = runInNewContext('gc')
  gc()
  gc()
  return process.memoryUsage().heapUsed
}

test('memory does not grow with the events that a run has taken, nor with the runs that have left it', async (t) => {
  const room = await createTempRoom()
  t.after(room.remove)
  // LevelDB: its memory is not the heap's.
  const counting = toCountingStore(await openLevelStore(room.path()))
  const runtime = open(counting, [small], 'process', 10)
  const run = await runtime.start(small, { id: 'x' })
  /** What each of three rounds adds to the heap, at the least: what is kept is kept in each. */
  const toGrowth = async (work: () => Promise<void>): Promise<number> => {
    const sizes: number[] = []
    for (let round = 0; round <= 3; round++) {
      await work()
      counting.writes.length = 0
      counting.reads.length = 0
      sizes.push(collect())
    }
    return Math.min(...sizes.slice(1).map((size, index) => size - (sizes[index] ?? 0)))
  }
  const grown = await toGrowth(async () => {
    for (let n = 0; n < 5_000; n++) await run.send({ type: 'add' })
  })
  t.diagnostic(`5,000 events: ${grown} bytes`)
  assert.ok(grown < 100_000, `${grown} bytes more after 5,000 events`)

  const ids = Array.from({ length: 500 }, (_, index) => `r${index}`)
  for (const id of ids) await runtime.start(small, { id })
  const more = await toGrowth(async () => {
    for (let round = 0; round < 2; round++) for (const id of ids) await runtime.get<typeof small>(id).send({ type: 'add' })
  })
  t.diagnostic(`1,000 activations: ${more} bytes`)
  assert.ok(more < 200_000, `${more} bytes more after 1,000 activations`)
  await runtime.close()
  await counting.end()
})
