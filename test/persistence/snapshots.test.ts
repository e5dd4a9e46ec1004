import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isPerdureError } from '../../src/errors.ts'
import { encodeStorable } from '../../src/persistence/codec.ts'
import { baseKey, deltaKey } from '../../src/persistence/keys.ts'
import { createSnapshotLog, loadSnapshotLog, type SnapshotLog } from '../../src/persistence/snapshots.ts'
import type { Store } from '../../src/persistence/store.ts'
import { openHeldStore } from '../support/held-store.ts'

const RUN = 'run 1'
/** A store with a chain of a base and `count` deltas. */
async function openChain(count: number) {
  const store = await openHeldStore()
  const log = createSnapshotLog(RUN)
  let state = { messages: ['0'.repeat(4_000)], turn: 0 }
  await store.write(log.write(state))
  for (let turn = 1; turn <= count; turn++) {
    state = { messages: [...state.messages, `message ${turn}`], turn }
    await store.write(log.write(state))
  }
  return { store, log, state }
}
const load = (store: Store, { end }: SnapshotLog) => loadSnapshotLog(store, RUN, end)

async function assertNoticed(store: Store, log: SnapshotLog, words: RegExp): Promise<void> {
  await assert.rejects(load(store, log), (error) => {
    assert.ok(isPerdureError(error, 'RUN_CORRUPT'), String(error))
    assert.equal(error.details.run, RUN)
    assert.match(error.message, /`run 1`/)
    assert.match(error.message, words)
    return true
  })
}

describe('a snapshot', () => {
  it('is what was written last, with no more than that on disk', async () => {
    const { store, log, state } = await openChain(5)
    assert.deepEqual((await load(store, log)).value, state)
    const again = await load(store, log)
    assert.deepEqual(again.end, log.end)
    assert.deepEqual(again.write(again.value), [])
  })

  it('is kept in the end of its chain while it is small, and begins a chain when it has grown', async () => {
    const store = await openHeldStore()
    const log = createSnapshotLog(RUN)
    const shared = { a: [1] }
    assert.deepEqual(log.write({ x: shared, y: shared, big: 1n, none: undefined }), [])
    const { end } = log
    assert.deepEqual(log.write({ x: shared, y: shared, big: 1n, none: undefined }), [])
    assert.equal(log.end, end, 'nothing has changed')
    const small = await load(store, log)
    assert.deepEqual(small.value, { x: shared, y: shared, big: 1n, none: undefined })
    assert.deepEqual(small.write({ x: { a: [1] }, y: { a: [1] }, big: 1n, none: undefined }), [])

    const grown = { x: 'x'.repeat(2_000) }
    const operations = small.write(grown)
    assert.deepEqual(
      operations.map(({ type, key }) => `${type} ${key}`),
      [`put ${baseKey(RUN)}`],
    )
    assert.equal(small.end.inline, undefined)
    await store.write(operations)
    assert.deepEqual((await load(store, small)).value, grown)
  })

  it('that is small and damaged is noticed', async () => {
    const store = await openHeldStore()
    const log = createSnapshotLog(RUN)
    log.write({ a: 1 })
    await assert.rejects(
      loadSnapshotLog(store, RUN, { ...log.end, inline: new Uint8Array([0xc1]) }),
      (error) => isPerdureError(error, 'RUN_CORRUPT') && error.details.run === RUN,
    )
  })

  it('is undefined before the first', async () => {
    const store = await openHeldStore()
    const log = await loadSnapshotLog(store, RUN, { seq: 0, checksum: 0 })
    assert.equal(log.value, undefined)
    assert.deepEqual(log.write(undefined), [])
  })

  it('goes on after each restart, through new bases, and leaves no record behind', async () => {
    const store = await openHeldStore()
    let log = createSnapshotLog(RUN)
    let bases = 0
    for (let turn = 0; turn < 400; turn++) {
      const before = (log.value ?? { messages: [] }) as { messages: string[] } // as written below
      const operations = log.write({
        messages: [...before.messages.slice(-150), `message ${turn} ${'x'.repeat(turn % 90)}`],
        turn,
      })
      if (operations.some(({ key }) => key === baseKey(RUN))) bases++
      await store.write(operations)
      const expected = log.value
      if (turn % 7 === 0) log = await load(store, log)
      assert.deepEqual(log.value, expected)
    }
    assert.ok(bases > 2 && bases < 20, `${bases} bases`)
    let records = 0
    for await (const _ of store.entries({ gte: 'r/', lt: 'r0' })) records++
    const last = store.writes.findLastIndex(({ operations }) => operations.some(({ key }) => key === baseKey(RUN)))
    assert.equal(records, store.writes.length - last)
  })

  it('that cannot be kept changes nothing', async () => {
    const { store, log, state } = await openChain(2)
    const end = log.end
    assert.throws(
      () => log.write({ ...state, bad: () => 1 }),
      (error) => isPerdureError(error, 'VALUE_NOT_STORABLE'),
    )
    assert.deepEqual([log.value, log.end], [state, end])
    await store.write(log.write({ ...state, turn: 3 }))
    assert.deepEqual((await load(store, log)).value, { ...state, turn: 3 })
  })
})

describe('a damaged chain is noticed', () => {
  const read = async (store: Store, key: string): Promise<Uint8Array> => (await store.get(key)) ?? assert.fail(`no ${key}`)

  it('when any one record is missing', async () => {
    for (let seq = 2; seq <= 6; seq++) {
      const { store, log } = await openChain(5)
      await store.write([{ type: 'del', key: deltaKey(RUN, seq) }])
      await assertNoticed(store, log, seq === 6 ? /ends at record 5 instead of 6/ : new RegExp(`record ${seq} of it is missing`))
    }
    const { store, log } = await openChain(5)
    await store.write([{ type: 'del', key: baseKey(RUN) }])
    await assertNoticed(store, log, /its base record is missing/)
  })

  it('when any one record has a flipped bit or is cut short', async () => {
    for (const key of [baseKey(RUN), ...[2, 3, 4].map((seq) => deltaKey(RUN, seq))])
      for (const damage of [0, 3, 20, -1]) {
        const { store, log } = await openChain(3)
        const bytes = await read(store, key)
        const damaged = damage === -1 ? bytes.subarray(0, -1) : bytes.with(damage, (bytes[damage] ?? 0) ^ 1)
        await store.write([{ type: 'put', key, value: damaged }])
        await assertNoticed(store, log, new RegExp(`its record \`${key}\` cannot be read`))
      }
  })

  it('when records are swapped or copied', async () => {
    for (const [from, to] of [
      [2, 3],
      [3, 2],
      [2, 7],
      [4, 7],
    ] as const) {
      const { store, log } = await openChain(5)
      const value = await read(store, deltaKey(RUN, from))
      await store.write([{ type: 'put', key: deltaKey(RUN, to), value }])
      await assertNoticed(store, log, /cannot be read/)
    }
  })

  it('when a record of an older chain has the right place', async () => {
    const { store, log, state } = await openChain(3)
    const older = await openChain(2)
    const other = await load(older.store, older.log)
    await older.store.write(other.write({ ...state, turn: 99 }))
    await store.write([{ type: 'put', key: deltaKey(RUN, 4), value: await read(older.store, deltaKey(RUN, 4)) }])
    await assertNoticed(store, log, /ends at record 4 instead of 4|does not follow/)
    await store.write([{ type: 'put', key: deltaKey(RUN, 3), value: await read(store, deltaKey(RUN, 3)) }])
    const base = createSnapshotLog(RUN).write({ other: 'x'.repeat(1_000) })
    const again = await openChain(3)
    await again.store.write(base)
    await assertNoticed(again.store, again.log, /does not follow/)
  })

  it('when there is more than the head says', async () => {
    const { store, log, state } = await openChain(3)
    const end = log.end
    await store.write(log.write({ ...state, turn: 99 }))
    await assert.rejects(loadSnapshotLog(store, RUN, end), /ends at record 5 instead of 4/)
  })

  it('when a record is whole but no delta', async () => {
    for (const link of [
      {},
      1,
      null,
      { seq: 5, after: 0, delta: {} },
      { seq: 5, after: 0, delta: { patch: ['set'], references: [[['x'], ['y']]] } },
    ]) {
      const { store, log } = await openChain(3)
      await store.write([{ type: 'put', key: deltaKey(RUN, 5), value: encodeStorable(deltaKey(RUN, 5), link) }])
      await assertNoticed(store, log, /./)
      await store.write([{ type: 'put', key: baseKey(RUN), value: encodeStorable(baseKey(RUN), link) }])
      await assertNoticed(store, log, /./)
    }
  })

  it('a format of the future is named as that', async () => {
    const { store, log } = await openChain(3)
    const key = deltaKey(RUN, 3)
    await store.write([{ type: 'put', key, value: (await read(store, key)).with(0, 3) }])
    await assert.rejects(load(store, log), (error) => isPerdureError(error, 'STORE_FORMAT_NEWER'))
  })
})
