import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MemoryLevel } from 'memory-level'
import { isPerdureError } from '../../src/errors.ts'
import { createLevelStore } from '../../src/persistence/level-store.ts'
import type { Operation } from '../../src/persistence/store.ts'

/** A database whose batches wait for the test and end as it says. */
class GatedLevel extends MemoryLevel<string, Uint8Array> {
  readonly waiting: PromiseWithResolvers<void>[] = []
  #arrival = Promise.withResolvers<void>()

  constructor() {
    super({ storeEncoding: 'view', keyEncoding: 'utf8', valueEncoding: 'view' })
  }

  /** Resolves when a batch has begun since the last call. */
  async arrived(): Promise<PromiseWithResolvers<void>> {
    await this.#arrival.promise
    this.#arrival = Promise.withResolvers<void>()
    const gate = this.waiting.shift()
    assert.ok(gate !== undefined)
    return gate
  }

  async _batch(operations: readonly unknown[], options: unknown): Promise<void> {
    const gate = Promise.withResolvers<void>()
    this.waiting.push(gate)
    this.#arrival.resolve()
    await gate.promise
    // abstract-level's private interface, which its types leave out.
    const parent = MemoryLevel.prototype as unknown as { _batch(operations: readonly unknown[], options: unknown): Promise<void> }
    await parent._batch.call(this, operations, options)
  }
}

const put = (key: string): Operation => ({ type: 'put', key, value: new TextEncoder().encode(key) })
const ioError = (text: string): Error => Object.assign(new Error(`IO error: /d/000003.log: ${text}`), { code: 'LEVEL_IO_ERROR' })

describe('the Level adapter', () => {
  it('has one write under way at a time', async () => {
    const database = new GatedLevel()
    const store = createLevelStore(database, { location: 'gated', epoch: 1 })
    await database.open()
    const writes = [store.write([put('a')]), store.write([put('b')])]
    const first = await database.arrived()
    assert.equal(database.waiting.length, 0)
    first.resolve()
    await writes[0]
    ;(await database.arrived()).resolve()
    await writes[1]
    await store.close()
  })

  it('refuses the writes that waited behind one that failed, and those that come later', async () => {
    const database = new GatedLevel()
    await database.open()
    const store = createLevelStore(database, { location: 'gated', epoch: 1 })
    const good = store.write([put('good')])
    ;(await database.arrived()).resolve()
    await good
    const writes = [store.write([put('a')]), store.write([put('b')]), store.write([put('c')])]
    const outcomes = Promise.allSettled(writes)
    ;(await database.arrived()).reject(ioError('No space left on device'))
    const codes = (await outcomes).map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'fulfilled'))
    assert.deepEqual(codes, ['STORE_FULL', 'STORE_WRITE_FAILED', 'STORE_WRITE_FAILED'])
    await assert.rejects(store.write([put('d')]), (error) => {
      assert.ok(isPerdureError(error, 'STORE_WRITE_FAILED'))
      assert.deepEqual(error.details, { directory: 'gated', since: 'STORE_FULL', reopen: true })
      return true
    })
    assert.equal(database.waiting.length, 0)
    assert.equal((await store.get('good'))?.length, 4)
    assert.deepEqual(await store.getMany(['a', 'b', 'c', 'd']), Array(4).fill(undefined))
    await store.close()
  })

  it('names other failures STORE_WRITE_FAILED, with their cause', async () => {
    const database = new GatedLevel()
    await database.open()
    const store = createLevelStore(database, { location: 'gated', epoch: 1 })
    const cause = ioError('Input/output error')
    const outcome = Promise.allSettled([store.write([put('a')])])
    ;(await database.arrived()).reject(cause)
    const [settled] = await outcome
    assert.ok(settled?.status === 'rejected' && isPerdureError(settled.reason, 'STORE_WRITE_FAILED'))
    assert.equal(settled.reason.cause, cause)
    assert.match(settled.reason.message, /Input\/output error/)
    await store.close()
  })

  it('refuses the writes that waited when one fails while the store closes, and closes', async () => {
    const database = new GatedLevel()
    await database.open()
    let closings = 0
    const onClosed = (): void => {
      closings += 1
    }
    const store = createLevelStore(database, { location: 'gated', epoch: 1, onClosed })
    const outcomes = Promise.allSettled([store.write([put('a')]), store.write([put('b')]), store.close(), store.close()])
    ;(await database.arrived()).reject(ioError('No space left on device'))
    const ends = (await outcomes).map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'fulfilled'))
    assert.deepEqual(ends, ['STORE_FULL', 'STORE_WRITE_FAILED', 'fulfilled', 'fulfilled'])
    assert.equal(database.status, 'closed')
    assert.equal(closings, 1)
  })

  it('closes its iterator when an iteration ends, is left early or fails', async () => {
    let held = 0
    class CountingLevel extends MemoryLevel<string, Uint8Array> {
      override attachResource(resource: Parameters<MemoryLevel['attachResource']>[0]): void {
        held += 1
        super.attachResource(resource)
      }

      override detachResource(resource: Parameters<MemoryLevel['detachResource']>[0]): void {
        held -= 1
        super.detachResource(resource)
      }
    }
    const database = new CountingLevel({ storeEncoding: 'view', valueEncoding: 'view' })
    await database.open()
    await using store = createLevelStore(database, { location: 'memory', epoch: 1 })
    await store.write([put('a'), put('b')])
    assert.equal(held, 0)
    const entries = store.entries({ gte: 'a', lt: 'z' })
    assert.equal(held, 0)
    for await (const _ of entries) assert.equal(held, 1)
    assert.equal(held, 0)
    for await (const _ of entries) break
    assert.equal(held, 0)
    await assert.rejects(async () => {
      for await (const [key] of entries) throw new Error(key)
    }, /^Error: a$/)
    assert.equal(held, 0)
  })

  it('does not end writing because of a wrong argument', async () => {
    const database = new MemoryLevel<string, Uint8Array>({ storeEncoding: 'view', valueEncoding: 'view' })
    await database.open()
    await using store = createLevelStore(database, { location: 'memory', epoch: 1 })
    await assert.rejects(store.write([put('')]), TypeError)
    await store.write([put('a')])
  })
})
