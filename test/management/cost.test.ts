/** What being reachable costs a process, and a page of runs a store. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { openMemoryStore, type Store } from 'perdure'
import { listSummaries } from '../../src/management/summary.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { createRunLog } from '../../src/persistence/run-log.ts'
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
