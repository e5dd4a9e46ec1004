import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { isPerdureError } from '../../src/errors.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import type { Store } from '../../src/persistence/store.ts'
import { mountSmallDisk, noSmallDisk } from '../support/small-disk.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

/** Puts 4 KB values until a write fails; returns what was acknowledged and the failure. */
async function fill(store: Store): Promise<{ kept: Map<string, Uint8Array>; failure: unknown }> {
  const kept = new Map<string, Uint8Array>()
  for (;;) {
    const key = `k${kept.size}`
    const value = randomBytes(4096)
    try {
      await store.write([{ type: 'put', key, value }])
    } catch (failure) {
      return { kept, failure }
    }
    kept.set(key, value)
  }
}

async function assertKept(store: Store, kept: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const values = await store.getMany([...kept.keys()])
  const lost = [...kept.values()].filter((value, index) => Buffer.compare(value, values[index] ?? new Uint8Array()) !== 0)
  assert.equal(lost.length, 0, `${lost.length} of ${kept.size} acknowledged writes are lost`)
}

describe('a disk is full', { skip: noSmallDisk }, () => {
  it('the write fails, later ones are refused, reads go on, and after reopening nothing acknowledged is lost', async () => {
    await using disk = await mountSmallDisk(room.path('disk'), '4m')
    await disk.addBallast(2_500_000)
    const directory = join(disk.path, 'store')
    const store = await openLevelStore(directory)
    const { kept, failure } = await fill(store)
    assert.ok(isPerdureError(failure, 'STORE_FULL'), String(failure))
    assert.match(failure.message, /Free space, close and open the store again/)
    assert.ok(kept.size > 100)

    await disk.removeBallast() // A handle that went on now would acknowledge writes which are gone after the next opening.
    const refused = (error: unknown): boolean =>
      isPerdureError(error, 'STORE_WRITE_FAILED') && error.details.since === 'STORE_FULL'
    await assert.rejects(store.write([{ type: 'put', key: 'later', value: randomBytes(10) }]), refused)
    await assert.rejects(store.write([]), refused)
    await assertKept(store, kept)
    await store.close()

    const again = await openLevelStore(directory)
    await assertKept(again, kept)
    await again.write([{ type: 'put', key: 'later', value: randomBytes(10) }])
    await again.close()
    await using last = await openLevelStore(directory)
    await assertKept(last, kept)
    assert.equal((await last.get('later'))?.length, 10)
  })

  it('opening is STORE_FULL and loses nothing', async () => {
    await using disk = await mountSmallDisk(room.path('disk'), '2m')
    const directory = join(disk.path, 'store')
    const store = await openLevelStore(directory)
    const kept = new Map(Array.from({ length: 20 }, (_, index) => [`k${index}`, randomBytes(4096)] as const))
    await store.write([...kept].map(([key, value]) => ({ type: 'put', key, value })))
    await store.close()
    await disk.addBallast()
    for (let attempt = 0; attempt < 3; attempt += 1) {
      await assert.rejects(openLevelStore(directory), (error) => isPerdureError(error, 'STORE_FULL'))
    }
    await disk.removeBallast()
    await using again = await openLevelStore(directory)
    await assertKept(again, kept)
  })

  it('creating is STORE_FULL at whatever byte the space ends, and succeeds once there is space', async () => {
    for (const size of ['8k', '12k', '16k', '20k', '24k', '28k', '32k', '36k', '40k']) {
      await using disk = await mountSmallDisk(room.path('disk'), size)
      const directory = join(disk.path, 'store')
      await disk.addBallast()
      await assert.rejects(openLevelStore(directory), (error) => isPerdureError(error, 'STORE_FULL'), size)
      await disk.removeBallast()
      const attempt = await openLevelStore(directory).catch((error: unknown) => error)
      if (isPerdureError(attempt)) assert.equal(attempt.code, 'STORE_FULL', `${size}: ${attempt.message}`)
      else await (attempt as Store).close() // not an error, so the store
      disk.grow('1m')
      await (await openLevelStore(directory)).close()
    }
  })
})
