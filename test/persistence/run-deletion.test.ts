import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError } from '../../src/errors.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { deletionKey, endedKey, headKey, wakeKey } from '../../src/persistence/keys.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { deleteRun, isBeingDeleted, measureRun, resumeDeletions } from '../../src/persistence/run-deletion.ts'
import { createRunLog } from '../../src/persistence/run-log.ts'
import type { Store } from '../../src/persistence/store.ts'
import { openHeldStore } from '../support/held-store.ts'
import { keysIn, type StoredRun, storeRun } from '../support/stored-run.ts'

const conversation = (name: string): StoredRun => ({ kind: 'agent', name, data: { turns: 1, owner: 'flow' } })
const session = (name: string): StoredRun => ({ kind: 'agent', name, data: { turns: 1, owner: 'session' } })

/** A store that fails at its `n`-th write, before or after the batch is there, and at each that follows: as a process that dies. */
function failingAt(store: Store, n: number, when: 'before' | 'after'): Store {
  let count = 0
  return {
    location: store.location,
    epoch: store.epoch,
    get: (key) => store.get(key),
    getMany: (keys) => store.getMany(keys),
    entries: (range) => store.entries(range),
    async write(operations, options) {
      count += 1
      if (count === n && when === 'after') await store.write(operations, options)
      if (count >= n) throw new Error(`died at write ${n}`)
      await store.write(operations, options)
    },
    compact: (range) => store.compact(range),
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  }
}

describe('deleting a run', () => {
  it('removes all that a run log wrote of it', async () => {
    await using store = await openMemoryStore()
    const committer = createCommitter(store, { sync: false })
    const log = createRunLog({ store, committer, now: () => 5 }, { id: 'a/b', kind: 'machine', name: 'order', data: null })
    log.putStep('s', { kind: 'k', name: 'n', status: 'ok', attempt: 1, startedAt: 1, value: 1 })
    log.update({ wakeAt: 0 })
    await log.commit()
    log.update({ wakeAt: 77, endedAt: 99 })
    await log.commit()
    for (const key of [headKey('a/b'), wakeKey(77, 'a/b'), endedKey(99, 'a/b')])
      assert.ok((await keysIn(store)).includes(key), key)
    assert.equal(await deleteRun(store, 'a/b'), true)
    assert.deepEqual(await keysIn(store), [])
    assert.equal(await deleteRun(store, 'a/b'), false)
  })

  it('takes nothing away from another run, whatever their names are', async () => {
    const id = fc
      .array(fc.constantFrom('a', 'b', '/', '%', '2', 'F', '😀', '~', '.'), { minLength: 1, maxLength: 4 })
      .map((parts) => parts.join(''))
    const time = fc.option(fc.nat({ max: 3 }), { nil: undefined })
    const run = fc.record({ wakeAt: time, endedAt: time, steps: fc.nat({ max: 3 }), messages: fc.nat({ max: 2 }) })
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(id, run, { minKeys: 1, maxKeys: 6, noNullPrototype: true }),
        fc.integer({ min: 1, max: 8 }),
        async (runs, batchSize) => {
          await using store = await openMemoryStore()
          const [target = '', ...others] = Object.keys(runs)
          // An absent field is not an undefined one.
          const toRun = (name: string) => JSON.parse(JSON.stringify(runs[name])) as StoredRun
          for (const other of others) await storeRun(store, other, toRun(other))
          const kept = await keysIn(store)
          await storeRun(store, target, toRun(target))
          assert.equal(await deleteRun(store, target, { batchSize }), true)
          assert.deepEqual(await keysIn(store), kept)
        },
      ),
      { numRuns: 300 },
    )
  })

  it('is one atomic batch for a small run, and no batch of a large one is larger than it may be', async () => {
    await using store = await openHeldStore()
    await storeRun(store, 'small', { wakeAt: 1, endedAt: 2 })
    await storeRun(store, 'large', { wakeAt: 1, endedAt: 2, steps: 5_000 })
    store.writes.length = 0
    await deleteRun(store, 'small')
    assert.deepEqual([store.writes.length, store.writes[0]?.sync], [1, undefined])
    store.writes.length = 0
    await deleteRun(store, 'large')
    assert.ok(store.writes.length >= 6)
    for (const { operations, sync } of store.writes) assert.ok(operations.length <= 1_001 && sync !== false)
    assert.deepEqual(await keysIn(store), [])
  })

  it('removes the conversations of a flow with it, and no session, run or conversation of another', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'trip/1/guide', conversation('guide')) // of the flow `trip/1`
    await storeRun(store, 'trip/guide', session('trip'))
    await storeRun(store, 'trip/x', { name: 'x' })
    await storeRun(store, 'trip2/guide', conversation('guide'))
    await storeRun(store, 'tri/guide', conversation('guide'))
    const kept = await keysIn(store)
    await storeRun(store, 'trip', { kind: 'flow', name: 'trip' })
    await storeRun(store, 'trip/writer', conversation('writer'))
    await storeRun(store, 'trip/reader', conversation('reader'))
    assert.ok((await measureRun(store, 'trip')) > (await measureRun(store, 'trip/writer')) * 2)
    await deleteRun(store, 'trip')
    assert.deepEqual(await keysIn(store), kept)
  })

  it('removes a run whose head is damaged, and its places in the indexes', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'b', { wakeAt: 3, endedAt: 4 })
    const kept = await keysIn(store)
    await storeRun(store, 'a', { wakeAt: 3, endedAt: 4 })
    await store.write([{ type: 'put', key: headKey('a'), value: Uint8Array.of(1, 2, 3, 4, 5, 6) }])
    assert.equal(await deleteRun(store, 'a'), true)
    assert.deepEqual(await keysIn(store), kept)
  })

  it('removes records whose head is lost', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'a')
    await store.write([{ type: 'del', key: headKey('a') }])
    assert.equal(await deleteRun(store, 'a'), true)
    assert.deepEqual(await keysIn(store), [])
  })

  it('refuses a run that a newer version wrote, and an id that is none, and removes nothing', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'a', { wakeAt: 3 })
    await store.write([{ type: 'put', key: headKey('a'), value: Uint8Array.of(9, 2, 3, 4, 5, 6) }])
    const before = await keysIn(store)
    await assert.rejects(deleteRun(store, 'a'), (error) => isPerdureError(error, 'STORE_FORMAT_NEWER'))
    await assert.rejects(deleteRun(store, ''), (error) => isPerdureError(error, 'RUN_ID_INVALID'))
    assert.deepEqual(await keysIn(store), before)
  })
})

describe('deleting a large flow', () => {
  it('is refused as a whole when a newer version wrote one of its conversations', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'trip', { kind: 'flow', name: 'trip' })
    await storeRun(store, 'trip/reader', { ...conversation('reader'), steps: 50 })
    await storeRun(store, 'trip/writer', conversation('writer'))
    await store.write([{ type: 'put', key: headKey('trip/writer'), value: Uint8Array.of(9, 2, 3, 4, 5, 6) }])
    const before = await keysIn(store)
    await assert.rejects(deleteRun(store, 'trip', { batchSize: 20 }), (error) => isPerdureError(error, 'STORE_FORMAT_NEWER'))
    assert.deepEqual(await keysIn(store), before)
  })
})

describe('a deletion that is interrupted', () => {
  const scenes: readonly (readonly [string, (store: Store) => Promise<void>])[] = [
    ['of a small run', (store) => storeRun(store, 'trip', { wakeAt: 1, endedAt: 2, steps: 1 })],
    ['of a large run', (store) => storeRun(store, 'trip', { wakeAt: 1, endedAt: 2, steps: 60, messages: 30 })],
    [
      'of a flow with conversations, small and large',
      async (store) => {
        await storeRun(store, 'trip', { kind: 'flow', name: 'trip', endedAt: 2, steps: 25 })
        await storeRun(store, 'trip/reader', { ...conversation('reader'), steps: 45 })
        await storeRun(store, 'trip/writer', conversation('writer'))
      },
    ],
  ]
  for (const [what, prepare] of scenes) {
    for (const when of ['before', 'after'] as const) {
      // `as const`: the two that there are
      it(`${what}, ${when} any of its writes, leaves the run as it was or gone, and the next opening finishes it`, async () => {
        for (let n = 1; ; n += 1) {
          await using store = await openMemoryStore()
          await storeRun(store, 'other', { wakeAt: 1, endedAt: 2 })
          const kept = await keysIn(store)
          await prepare(store)
          const before = await keysIn(store)
          const outcome = await deleteRun(failingAt(store, n, when), 'trip', { batchSize: 20 }).then(
            () => 'done',
            (error: Error) => error.message,
          )
          const after = await keysIn(store)
          if (outcome === 'done') {
            assert.ok(n > 1)
            assert.deepEqual(after, kept)
            return
          }
          assert.equal(outcome, `died at write ${n}`)
          const isUntouched = after.length === before.length
          if (isUntouched) assert.deepEqual(after, before)
          else {
            for (const key of [headKey('trip'), wakeKey(1, 'trip'), endedKey(2, 'trip')]) assert.ok(!after.includes(key), key)
            assert.equal(await isBeingDeleted(store, 'trip'), after.length > kept.length)
          }
          // The next opening dies too, wherever it may, before one gets through.
          for (let m = 1; m < 30; m += 1) {
            await resumeDeletions(failingAt(store, m, when), { batchSize: 20 }).catch((error: Error) =>
              assert.equal(error.message, `died at write ${m}`),
            )
          }
          assert.equal(await resumeDeletions(store), 0)
          assert.deepEqual(await keysIn(store), isUntouched ? before : kept)
        }
      })
    }
  }

  it('is finished by deleting the run once more', async () => {
    await using store = await openMemoryStore()
    await storeRun(store, 'a', { steps: 60 })
    await assert.rejects(deleteRun(failingAt(store, 3, 'before'), 'a', { batchSize: 20 }), /died/)
    assert.ok((await store.get(deletionKey('a'))) !== undefined)
    assert.equal(await deleteRun(store, 'a'), true)
    assert.deepEqual(await keysIn(store), [])
  })

  it('by a signal ends between two batches', async () => {
    await using store = await openHeldStore()
    await storeRun(store, 'a', { steps: 60 })
    const controller = new AbortController()
    store.writes.length = 0
    store.hold()
    const deletion = assert.rejects(deleteRun(store, 'a', { batchSize: 20, signal: controller.signal }), (error) =>
      isPerdureError(error, 'ABORTED'),
    )
    await store.held()
    controller.abort()
    store.release()
    await deletion
    assert.equal(store.writes.length, 1)
    assert.equal(await isBeingDeleted(store, 'a'), true)
    await assert.rejects(resumeDeletions(store, { signal: controller.signal }), (error) => isPerdureError(error, 'ABORTED'))
  })
})
