/** What being reachable costs a process, and a page of runs a store. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openMemoryStore, type Store } from 'perdure'
import { readStats } from '../../src/management/stats.ts'
import { listSummaries } from '../../src/management/summary.ts'
import { verifyStore } from '../../src/management/verify.ts'
import { encodeRecord, packStorable } from '../../src/persistence/codec.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { headKey, stepKey, wakeKey } from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { createRunLog } from '../../src/persistence/run-log.ts'
import type { KeyRange, Operation } from '../../src/persistence/store.ts'
import { toArray } from '../support/managed-store.ts'
import { runProgram } from '../support/program.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

describe('being reachable', () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  test('loads no HTTP before somebody comes, and keeps no process', async () => {
    const file = fileURLToPath(new URL('../support/management-modules.ts', import.meta.url))
    const { stdout, exitCode } = await runProgram(file, { cwd: room.root })
    assert.deepEqual([stdout, exitCode], ['[]\n', 0])
  })
})

/** The store, with the number of records that were read. */
function toCounted(store: Store): { readonly counted: Store; reads: () => number } {
  let reads = 0
  const counted: Store = {
    ...store,
    location: store.location,
    epoch: store.epoch,
    async get(key) {
      reads++
      return store.get(key)
    },
    async *entries(range) {
      for await (const entry of store.entries(range)) {
        reads++
        yield entry
      }
    },
  }
  return { counted, reads: () => reads }
}

test('a page of runs costs what is on it, however many runs there are', async () => {
  const store = await openMemoryStore()
  const room = { store, committer: createCommitter(store, { sync: false }), now: () => 1_000 }
  const data = { version: { structure: '' }, inputHash: '' }
  await Promise.all(
    Array.from({ length: 3_000 }, async (_, n) => {
      const log = createRunLog(room, { id: `m/${String(n).padStart(5, '0')}`, kind: 'machine', name: 'm', data })
      log.follow(() => ({ actor: { value: 'on', context: {} }, timers: [], steps: 0, actors: 0 }))
      await log.commit()
    }),
  )
  const { counted, reads } = toCounted(store)
  const page = await toArray(listSummaries(counted, { limit: 50 }, () => 2_000))
  assert.deepEqual([page.length, page.at(-1)?.id], [50, 'm/00049'])
  assert.ok(reads() <= 50 * 4, `${reads()} reads`)
  const before = reads()
  const next = await toArray(listSummaries(counted, { limit: 50, after: 'm/02900' }, () => 2_000))
  assert.equal(next[0]?.id, 'm/02901')
  assert.ok(reads() - before <= 50 * 4)
  const start = reads()
  for await (const _ of listSummaries(counted, {}, () => 2_000)) break
  assert.ok(reads() - start <= 50 * 4, 'those behind it are not read before they are asked for')
  await store.close()
})

test('to check a store takes a few hundred bytes of memory for each run, and to count it none', async () => {
  const RUNS = 20_000
  const room = await createTempRoom()
  const store = await openLevelStore(room.path())
  const put = (key: string, value: unknown): Operation => ({ type: 'put', key, value: encodeRecord(key, value) })
  const snapshot = { seq: 1, checksum: 0, inline: packStorable([{ actor: { value: 'on', context: {} }, timers: [] }]) }
  const data = { version: { structure: '' }, inputHash: '' }
  const record = { kind: 'machine', name: 'input', status: 'ok', attempt: 1, startedAt: 1, endedAt: 1 }
  for (let first = 0; first < RUNS; first += 1_000) {
    const batch: Operation[] = []
    for (let n = first; n < first + 1_000; n += 1) {
      const [id, wakeAt] = [`machine/${String(n).padStart(30, '0')}`, 1e12 + n]
      const times = { createdAt: 1, updatedAt: 1, wakeAt }
      batch.push(put(headKey(id), { id, kind: 'machine', name: 'm', status: 'running', ...times, data, snapshot, steps: 1 }))
      batch.push(put(stepKey(id, 'machine/input'), record), put(wakeKey(wakeAt, id), null))
    }
    await store.write(batch, { sync: false })
  }
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void // the flag makes it
  const measure = (): number => {
    collect()
    return process.memoryUsage().heapUsed
  }
  let most = 0
  let read = 0
  const watched: Store = Object.assign(Object.create(store), {
    location: store.location,
    async *entries(range: KeyRange) {
      for await (const entry of store.entries(range)) {
        if (++read % 10_000 === 0) most = Math.max(most, measure())
        yield entry
      }
    },
  })
  const grown = async (task: () => Promise<void>): Promise<number> => {
    most = 0
    const before = measure()
    await task()
    return most - before
  }
  const counting = await grown(async () => assert.equal((await readStats(watched)).runs, RUNS))
  const checking = await grown(async () => assert.deepEqual(await toArray(verifyStore(watched)), []))
  assert.ok(counting < 2e6, `${counting} bytes to count`)
  assert.ok(checking < 600 * RUNS, `${checking / RUNS} bytes for each run to check`)
  await store.close()
  await room.remove()
})
