/** What is told of runs that are damaged, or change while they are read. */
import assert from 'node:assert/strict'
import { beforeEach, describe, test } from 'node:test'
import { openMemoryStore, type Store } from 'perdure'
import { readSnapshot } from '../../src/management/reading.ts'
import { listSummaries } from '../../src/management/summary.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { baseKey, headKey } from '../../src/persistence/keys.ts'
import { createRunLog, type RunLog } from '../../src/persistence/run-log.ts'
import { toArray } from '../support/managed-store.ts'

describe('of a store', () => {
  let store: Store
  let log: RunLog
  let value = 'first'
  beforeEach(async () => {
    store = await openMemoryStore()
    const room = { store, committer: createCommitter(store, { sync: false }), now: () => 1_000 }
    for (const id of ['a', 'b', 'c']) {
      log = createRunLog(room, { id, kind: 'machine', name: 'm', data: { version: { structure: '' }, inputHash: '' } })
      log.follow(() => ({ actor: { value, context: { text: 'x'.repeat(1_000) } }, timers: [] })) // too large for the head
      await log.commit()
    }
  })
  const list = async (from: Store) =>
    (await toArray(listSummaries(from, {}, () => 2_000))).map((run) => [run.id, run.status, run.error?.code])
  /** The store, with another answer to some reads. */
  const withGet = (get: (key: string) => Uint8Array | undefined | 'real'): Store => ({
    ...store,
    entries: (range) => store.entries(range),
    async get(key) {
      const bytes = get(key)
      return bytes === 'real' ? store.get(key) : bytes
    },
  })

  test('a run whose head or snapshot is damaged is unreadable, and the others are told', async () => {
    await store.write([
      { type: 'put', key: headKey('a'), value: new Uint8Array([1, 2, 3]) },
      { type: 'del', key: baseKey('b') },
    ])
    assert.deepEqual(await list(store), [
      ['a', 'unreadable', 'RUN_CORRUPT'],
      ['b', 'unreadable', 'RUN_CORRUPT'],
      ['c', 'running', undefined],
    ])
  })

  test('a run that is deleted while it is read is left out', async () => {
    assert.deepEqual(await list(withGet((key) => (key === headKey('b') ? undefined : 'real'))), [
      ['a', 'running', undefined],
      ['c', 'running', undefined],
    ])
  })

  test('a run that goes on between its head and its snapshot is read again, and is not taken for damaged', async () => {
    const before = await store.get(headKey('c'))
    value = 'second'
    await log.commit()
    let reads = 0
    const moving = withGet((key) => (key === headKey('c') && reads++ === 0 ? before : 'real'))
    const { value: snapshot } = await readSnapshot(moving, 'c')
    assert.equal((snapshot as { readonly actor: { readonly value: string } }).actor.value, 'second') // as written above
    assert.equal(reads, 3)
  })
})
