import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { createRetention } from '../../src/persistence/retention.ts'
import type { Operation } from '../../src/persistence/store.ts'
import { keysIn, storeRun } from '../support/stored-run.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const MB = 1024 * 1024

/** LevelDB may remove a file while they are being counted. */
async function sizeOf(directory: string): Promise<number> {
  const names = await readdir(directory)
  const sizes = await Promise.allSettled(names.map(async (name) => (await stat(join(directory, name))).size))
  return sizes.reduce((total, size) => total + (size.status === 'fulfilled' ? size.value : 0), 0)
}

describe('disk space', () => {
  it('comes back when half of a large store is deleted and compacted', async () => {
    const directory = room.path()
    await using store = await openLevelStore(directory)
    const keys = Array.from({ length: 640 }, (_, index) => `r/${String((index * 7919) % 640).padStart(4, '0')}`)
    for (const key of keys) await store.write([{ type: 'put', key, value: randomBytes(MB / 8) }], { sync: false })
    await store.compact()
    const before = await sizeOf(directory)
    assert.ok(before > 78 * MB && before < 90 * MB, `${before / MB} MB`)
    await store.write(keys.slice(320).map((key): Operation => ({ type: 'del', key })))
    await store.compact()
    const size = await sizeOf(directory)
    assert.ok(size > 38 * MB && size < 48 * MB, `${size / MB} MB`)
    assert.equal((await keysIn(store)).length, 320)
  })

  it('comes back by itself when retention removed half of the runs', async () => {
    const directory = room.path()
    await using store = await openLevelStore(directory)
    for (let run = 0; run < 80; run += 1) {
      await storeRun(store, `run-${(run * 37) % 80}`, { endedAt: run })
      const key = `r/run-${(run * 37) % 80}/s/noise`
      await store.write([{ type: 'put', key, value: randomBytes(MB) }], { sync: false })
    }
    const before = await sizeOf(directory)
    assert.ok(before > 75 * MB, `${before / MB} MB`)
    const retention = createRetention({
      store,
      policy: { maxRuns: 40 },
      now: () => 100,
      claim: () => () => {},
      compactBytes: 32 * MB,
    })
    assert.deepEqual(await retention.sweep(), { deleted: 40 })
    await retention.close()
    const size = await sizeOf(directory)
    assert.ok(size > 38 * MB && size < 52 * MB, `${size / MB} MB`)
  })
})
