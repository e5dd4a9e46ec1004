/** What is in a store, and what of it nobody needs. */
import assert from 'node:assert/strict'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { collectGarbage } from '../../src/management/gc.ts'
import { readStats } from '../../src/management/stats.ts'
import { verifyStore } from '../../src/management/verify.ts'
import { encodeRecord } from '../../src/persistence/codec.ts'
import { deletionKey, questionRange, recordRange, toQuestion } from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'
import { createClaims } from '../../src/runtime/claims.ts'
import { toFolderName } from '../../src/runtime/run-files.ts'
import { createManagedRoom, toArray } from '../support/managed-store.ts'

const everything = { gte: '"', lt: '\u{10ffff}' }
const keysOf = async (store: Store): Promise<readonly string[]> => (await toArray(store.entries(everything))).map(([key]) => key)
const put = (key: string, value: unknown = null): Operation => ({ type: 'put', key, value: encodeRecord(key, value) })

/** What nobody can miss. */
const garbage: readonly Operation[] = [
  ...Array.from({ length: 2_500 }, (_, count) => put(`r/nobody/s/${count}`, 'x')),
  put('i/nobody/1', { event: {} }),
  put('r/half/s/1', 'x'),
  put(deletionKey('half')),
  put('w/0000000000000009/door%2Fajar'),
  put('f/0000000000000009/door%2Fajar'),
  put('q/nobody/x'),
]

let room: Awaited<ReturnType<typeof createManagedRoom>>
before(async () => {
  room = await createManagedRoom()
})
after(() => room.remove())

describe('gc', () => {
  test('removes what leads to nothing, and nothing else', async () => {
    const store = await openLevelStore(await room.copy())
    const whole = await keysOf(store)
    await store.write(garbage)
    const { claim } = createClaims()
    const { before: _, after: __, ...collected } = await collectGarbage({ store, claim, now: Date.now })
    assert.deepEqual(collected, { runs: 0, remains: 2, indexEntries: 3, folders: 0, damaged: 0 })
    assert.deepEqual(await keysOf(store), whole)
    assert.deepEqual(await toArray(verifyStore(store)), [])
    await store.close()
  })

  test('gives the space back to the disk', async () => {
    const store = await openLevelStore(await room.copy())
    const value = new Uint8Array(200_000).map((_, index) => (index * index * 7919) % 251)
    await store.write(Array.from({ length: 60 }, (_, count) => put(`r/nobody/s/${count}`, { value, count })))
    await store.compact()
    const { claim } = createClaims()
    const { before: bytes, after: left } = await collectGarbage({ store, claim, now: Date.now })
    assert.ok(left < bytes / 4, `${left} of ${bytes} bytes are left`)
    await store.close()
  })

  test('leaves what somebody uses, and removes it later', async () => {
    const store = await openLevelStore(await room.copy())
    await store.write(garbage)
    const { claim } = createClaims()
    const releases = ['nobody', 'half', 'door/ajar'].map(claim)
    const first = await collectGarbage({ store, claim, now: Date.now })
    assert.deepEqual([first.remains, first.indexEntries], [0, 0])
    for (const release of releases) release()
    const second = await collectGarbage({ store, claim, now: Date.now })
    assert.deepEqual([second.remains, second.indexEntries], [2, 3])
    await store.close()
  })

  test('removes nothing that may belong to what is damaged', async () => {
    const store = await openLevelStore(await room.copy())
    await store.write(garbage)
    const [[key = '', bytes = new Uint8Array()] = []] = await toArray(store.entries(recordRange('helper/ann')))
    await store.write([{ type: 'put', key, value: bytes.with(-1, (bytes.at(-1) ?? 0) ^ 1) }])
    const keys = await keysOf(store)
    const { claim } = createClaims()
    const { damaged, remains, indexEntries } = await collectGarbage({ store, claim, now: Date.now })
    assert.deepEqual([damaged, remains, indexEntries], [1, 0, 0])
    assert.deepEqual(await keysOf(store), keys)
    await store.close()
  })

  test('removes the runs that a policy does not keep, and refuses one that is none', async () => {
    const store = await openLevelStore(await room.copy())
    const { claim } = createClaims()
    const { runs } = await collectGarbage({ store, claim, now: Date.now }, { maxRuns: 0 })
    assert.equal(runs, 3)
    assert.deepEqual(
      (await keysOf(store)).filter((key) => key.startsWith('h/')),
      ['h/door%2Fajar', 'h/helper%2Fann'],
    )
    await assert.rejects(collectGarbage({ store, claim, now: Date.now }, { colour: 1 } as object), TypeError)
    await store.close()
  })

  test('removes the files of steps that have settled and of runs that are gone', async () => {
    const directory = await room.copy()
    const store = await openLevelStore(directory)
    const [[question = ''] = []] = await toArray(store.entries(questionRange()))
    const folders = [
      ['helper/ann', toQuestion(question).step],
      ['helper/ann', 'call/000001.1/m001'],
      ['nobody', 'step'],
      ['report/1', 'step/print'],
    ] as const
    const toPath = ([run, step]: (typeof folders)[number]): string =>
      join(directory, 'files', toFolderName(run), toFolderName(step))
    for (const folder of folders) {
      await mkdir(toPath(folder), { recursive: true })
      await writeFile(join(toPath(folder), 'notes'), 'x')
    }
    const { claim } = createClaims()
    const release = claim('report/1')
    assert.equal((await collectGarbage({ store, claim, now: Date.now })).folders, 2)
    release()
    const left = await Promise.all(folders.map((folder) => readdir(toPath(folder)).catch(() => [])))
    assert.deepEqual(
      left.map((names) => names.length),
      [1, 0, 0, 1],
    )
    assert.deepEqual(await readdir(join(directory, 'files')), [toFolderName('helper/ann'), toFolderName('report/1')].sort())
    await store.close()
  })
})

describe('stats', () => {
  test('count runs, cost and records', async () => {
    const directory = await room.copy()
    const store = await openLevelStore(directory)
    await mkdir(join(directory, 'files'))
    await writeFile(join(directory, 'files', 'x'), 'four')
    const { runs, byStatus, byKind, pending, spend, records, disk } = await readStats(store)
    assert.equal(runs, 6)
    assert.deepEqual(byStatus, { running: 2, completed: 3, failed: 1, cancelled: 0, incompatible: 0, unreadable: 0 })
    assert.deepEqual(byKind, { machine: 3, flow: 1, agent: 2 })
    assert.equal(pending, 1)
    assert.deepEqual([spend.modelCalls, spend.toolCalls], [5, 2])
    assert.equal(records.heads.count, 6)
    const counts = Object.values(records).reduce((sum, { count }) => sum + count, 0)
    assert.equal(counts, (await keysOf(store)).length)
    assert.equal(records.others.count, 0)
    assert.equal(disk.files, 4)
    assert.ok(disk.database > 1_000)
    await store.write([put('h/broken', { id: 'broken' }), put('z/what')])
    const changed = await readStats(store)
    assert.deepEqual([changed.byStatus.unreadable, changed.records.others.count], [1, 1])
    await store.close()
  })

  test('are zero for an empty store in memory', async () => {
    const { runs, disk, pending } = await readStats(await openMemoryStore())
    assert.deepEqual([runs, pending, disk], [0, 0, { database: 0, files: 0 }])
  })
})
