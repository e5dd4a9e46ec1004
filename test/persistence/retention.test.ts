import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError, PerdureError } from '../../src/errors.ts'
import { encodeRecord } from '../../src/persistence/codec.ts'
import { endedKey, headKey, toRunId } from '../../src/persistence/keys.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { assertRetentionPolicy, createRetention, type RetentionPolicy } from '../../src/persistence/retention.ts'
import { measureRun } from '../../src/persistence/run-deletion.ts'
import type { Store } from '../../src/persistence/store.ts'
import { openHeldStore } from '../support/held-store.ts'
import { keysIn, storeRun } from '../support/stored-run.ts'

/** The claims of a runtime in which these runs are in use. */
const claimsOf =
  (inUse: ReadonlySet<string>) =>
  (run: string): (() => void) => {
    if (inUse.has(run)) throw new PerdureError('RUN_CONFLICT', `${run} is open`)
    return () => {}
  }
const free = claimsOf(new Set())
const runsIn = async (store: Store): Promise<string[]> =>
  (await keysIn(store)).filter((key) => key.startsWith('h/')).map((key) => toRunId(key))

/** Runs `r0` … that ended at these times. */
async function storeEnded(store: Store, ends: readonly number[]): Promise<void> {
  for (const [index, endedAt] of ends.entries()) await storeRun(store, `r${index}`, { endedAt })
}

describe('retention', () => {
  const cases: readonly (readonly [string, RetentionPolicy, readonly string[]])[] = [
    ['keeps everything by default', {}, ['r0', 'r1', 'r2', 'r3', 'r4']],
    ['removes what ended longer ago than the age, and not what ended just then', { maxAgeMs: 70 }, ['r1', 'r3', 'r4']],
    ['keeps the number of runs that ended last', { maxRuns: 2 }, ['r3', 'r4']],
    ['keeps none', { maxRuns: 0 }, []],
    ['keeps none that take space', { maxBytes: 0 }, []],
    ['takes what any of its limits takes', { maxAgeMs: 70, maxRuns: 4 }, ['r1', 'r3', 'r4']],
    ['takes what the other of its limits takes', { maxAgeMs: 70, maxRuns: 1 }, ['r4']],
    ['keeps all when all fit', { maxRuns: 5, maxBytes: 1e9, maxAgeMs: 100 }, ['r0', 'r1', 'r2', 'r3', 'r4']],
    ['takes an age that is longer than time', { maxAgeMs: Number.MAX_SAFE_INTEGER }, ['r0', 'r1', 'r2', 'r3', 'r4']],
  ]
  for (const [what, policy, kept] of cases) {
    it(what, async () => {
      await using store = await openMemoryStore()
      await storeRun(store, 'running', { wakeAt: 1 })
      const before = await keysIn(store)
      await storeEnded(store, [10, 30, 20, 40, 50])
      const removed: string[] = []
      const retention = createRetention({ store, policy, now: () => 100, claim: free, onDeleted: (run) => removed.push(run) })
      assert.deepEqual(await retention.sweep(), { deleted: 5 - kept.length })
      assert.deepEqual(await runsIn(store), [...kept, 'running'])
      assert.deepEqual(
        removed,
        ['r0', 'r2', 'r1', 'r3', 'r4'].filter((run) => !kept.includes(run)),
      ) // the oldest end first
      if (kept.length === 0) assert.deepEqual(await keysIn(store), before)
      assert.deepEqual(await retention.sweep(), { deleted: 0 })
      await retention.close()
    })
  }

  it('keeps what a model keeps, whatever ended when and is in use', async () => {
    const limit = (max: number) => fc.option(fc.nat({ max }), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ endedAt: fc.nat({ max: 9 }), stepBytes: fc.nat({ max: 400 }), isUsed: fc.boolean() }), {
          maxLength: 12,
        }),
        fc.record({ maxAgeMs: limit(10), maxRuns: limit(12), maxBytes: limit(6_000) }),
        async (runs, policy) => {
          await using store = await openMemoryStore()
          for (const [index, run] of runs.entries()) await storeRun(store, `r${index}`, run)
          const sizes = await Promise.all(runs.map((_, index) => measureRun(store, `r${index}`)))
          const { maxAgeMs = 1e6, maxRuns = 1e6, maxBytes = 1e6 } = policy
          const order = runs
            .map((run, index) => ({ ...run, index, key: endedKey(run.endedAt, `r${index}`) }))
            .sort((one, other) => (one.key > other.key ? -1 : 1))
          const kept: string[] = []
          let bytes = 0
          let isFull = false
          for (const [place, { index, endedAt, isUsed }] of order.entries()) {
            bytes += sizes[index] ?? 0
            isFull ||= place >= maxRuns || bytes > maxBytes || 10 - endedAt > maxAgeMs
            if (!isFull || isUsed) kept.push(`r${index}`)
          }
          const used = new Set(runs.flatMap(({ isUsed }, index) => (isUsed ? [`r${index}`] : [])))
          const retention = createRetention({ store, policy, now: () => 10, claim: claimsOf(used) })
          for (const deleted of [runs.length - kept.length, 0]) {
            assert.deepEqual(await retention.sweep(), { deleted })
            assert.deepEqual(
              await runsIn(store),
              kept.toSorted((one, other) => (headKey(one) < headKey(other) ? -1 : 1)),
            )
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  it('leaves a run alone that went on after its end was noted, and one that ended again', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'again', { endedAt: 90 })
    await storeRun(store, 'running')
    const before = await keysIn(store)
    for (const run of ['again', 'running', 'nobody']) {
      const key = endedKey(5, run)
      await store.write([{ type: 'put', key, value: encodeRecord(key, null) }])
    }
    const retention = createRetention({ store, policy: { maxAgeMs: 50 }, now: () => 100, claim: free })
    assert.deepEqual(await retention.sweep(), { deleted: 0 })
    assert.deepEqual(await keysIn(store), before)
  })

  for (const [what, code, format] of [
    ['is damaged', 'RUN_CORRUPT', 1],
    ['a newer version wrote', 'STORE_FORMAT_NEWER', 9],
  ] as const) {
    it(`tells of a run that ${what} and goes on with the others`, async () => {
      await using store = await openMemoryStore()
      await storeEnded(store, [1, 2, 3])
      await store.write([{ type: 'put', key: headKey('r1'), value: Uint8Array.of(format, 2, 3, 4, 5, 6) }])
      for (const policy of [{ maxRuns: 0 }, { maxBytes: 0 }]) {
        await storeEnded(store, [1])
        const told = new Set<string>()
        const onError = (error: unknown, run?: string): void => void told.add(`${run} ${isPerdureError(error, code)}`)
        const retention = createRetention({ store, policy, now: () => 9, claim: free, onError })
        assert.ok((await retention.sweep()).deleted > 0)
        assert.deepEqual([...told], ['r1 true'])
        assert.deepEqual(await runsIn(store), ['r1'])
      }
    })
  }

  it('reads the bytes of a run once', async () => {
    await using store = await openHeldStore()
    for (let index = 0; index < 20; index += 1) await storeRun(store, `r${index}`, { endedAt: index, stepBytes: 10_000 })
    const retention = createRetention({ store, policy: { maxBytes: 250_000 }, now: () => 9, claim: free })
    assert.deepEqual(await retention.sweep(), { deleted: 8 })
    assert.ok(store.readBytes > 20 * 10_000)
    store.readBytes = 0
    assert.deepEqual(await retention.sweep(), { deleted: 0 })
    assert.ok(store.readBytes < 2_000, String(store.readBytes))
  })

  it('works through thousands of runs in slices, and lets others work in between', async () => {
    await using store = await openMemoryStore()
    await storeEnded(
      store,
      Array.from({ length: 1_500 }, (_, index) => index),
    )
    let longest = 0
    let last = performance.now()
    let turns = 0
    const beat = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
      turns += 1
    }, 1)
    const retention = createRetention({ store, policy: { maxRuns: 300, maxBytes: 1e9 }, now: () => 0, claim: free })
    assert.deepEqual(await retention.sweep(), { deleted: 1_200 })
    clearInterval(beat)
    assert.equal((await runsIn(store)).length, 300)
    assert.ok(turns > 10, `${turns} turns, the longest ${longest} ms`)
  })

  it('is one sweep for all who ask while it is under way', async () => {
    await using store = await openMemoryStore()
    await storeEnded(store, [1, 2, 3])
    const retention = createRetention({ store, policy: { maxRuns: 1 }, now: () => 9, claim: free })
    const [one, other] = await Promise.all([retention.sweep(), retention.sweep()])
    assert.equal(one, other)
    assert.deepEqual(one, { deleted: 2 })
  })

  it('ends at closing, with what it had begun, and does nothing afterwards', async () => {
    await using store = await openHeldStore()
    await storeEnded(store, [1, 2, 3])
    const retention = createRetention({ store, policy: { maxRuns: 0 }, now: () => 9, claim: free })
    store.hold()
    const sweep = retention.sweep()
    await store.held()
    const order: string[] = []
    const closed = retention.close().then(() => order.push('closed'))
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual(order, [])
    store.release()
    assert.deepEqual(await sweep, { deleted: 1 })
    await closed
    assert.deepEqual(await runsIn(store), ['r1', 'r2'])
    assert.deepEqual(await retention.sweep(), { deleted: 0 })
    assert.deepEqual(await runsIn(store), ['r1', 'r2'])
  })

  it('fails with the store, and can be asked again', async () => {
    await using store = await openHeldStore()
    await storeEnded(store, [1])
    const retention = createRetention({ store, policy: { maxRuns: 0 }, now: () => 9, claim: free })
    store.hold()
    const sweep = retention.sweep()
    await store.held()
    store.release(new PerdureError('STORE_FULL', 'no space'))
    await assert.rejects(sweep, (error) => isPerdureError(error, 'STORE_FULL'))
    await retention.close()
  })

  it('gives space back once enough was removed, by a sweep or by hand, and not twice for the same', async () => {
    await using memory = await openMemoryStore()
    const ranges: unknown[] = []
    // Spread of an instance would leave its methods out.
    const store = Object.create(memory, {
      get: { value: (key: string) => memory.get(key) },
      getMany: { value: (keys: string[]) => memory.getMany(keys) },
      entries: { value: (range: Parameters<Store['entries']>[0]) => memory.entries(range) },
      write: { value: (...args: Parameters<Store['write']>) => memory.write(...args) },
      compact: { value: async (range: unknown) => void ranges.push(range) },
    }) as Store
    for (let index = 0; index < 6; index += 1) await storeRun(store, `r${index}`, { endedAt: index, stepBytes: 5_000 })
    let maxRuns = 5
    const policy = {
      get maxRuns() {
        return maxRuns
      },
    }
    const retention = createRetention({ store, policy, now: () => 9, claim: free, compactBytes: 15_000 })
    await retention.sweep()
    assert.equal(ranges.length, 0)
    maxRuns = 4
    await retention.sweep()
    assert.deepEqual(ranges, [{ gte: 'r/', lt: 'r/\u{10ffff}' }])
    await retention.sweep()
    assert.equal(ranges.length, 1)
    assert.equal(await retention.erase('r2'), true)
    assert.equal(await retention.erase('r2'), false)
    assert.equal(ranges.length, 1)
    assert.equal(await retention.erase('r3'), true)
    await retention.close()
    assert.equal(ranges.length, 2)
  })

  it('refuses a policy that is none, naming what is wrong', async () => {
    for (const [policy, words] of [
      [null, 'Expected `retention` to be an object, got `null` (object)'],
      ['week', 'Expected `retention` to be an object, got `week` (string)'],
      [{ maxAge: 1 }, 'Expected `retention` to have no keys but `maxAgeMs`, `maxRuns`, `maxBytes`, got `maxAge`'],
      [{ maxAgeMs: -1 }, 'Expected `retention.maxAgeMs` to be an integer ≥ 0, got `-1` (number)'],
      [{ maxRuns: 1.5 }, 'Expected `retention.maxRuns` to be an integer ≥ 0, got `1.5` (number)'],
      [{ maxBytes: '1' }, 'Expected `retention.maxBytes` to be an integer ≥ 0, got `1` (string)'],
      [{ maxBytes: Number.POSITIVE_INFINITY }, 'Expected `retention.maxBytes` to be an integer ≥ 0, got `Infinity` (number)'],
    ] as const) // `as const`: pairs
      assert.throws(() => assertRetentionPolicy(policy), { name: 'TypeError', message: words })
    for (const policy of [{}, { maxAgeMs: 0 }, { maxRuns: undefined, maxBytes: 5 }]) assertRetentionPolicy(policy)
  })
})
