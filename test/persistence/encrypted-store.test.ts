/** A store whose records of runs are encrypted: the contract of stores, keys that are wrong, changed and gone, and every byte on the disk. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { storeContract } from 'perdure/testing'
import { unlockStore } from '../../src/persistence/encrypted-store.ts'
import { rangeOf } from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'
import { rejectsWith } from '../support/machine-room.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const keyOf = (name: string): Uint8Array => createHash('sha256').update(name).digest()
const key = keyOf('key')
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const put = (at: string, value = `value of ${at}`): Operation => ({ type: 'put', key: at, value: bytes(value) })
const readText = async (store: Store, at: string): Promise<string | undefined> => {
  const found = await store.get(at)
  return found && new TextDecoder().decode(found)
}
const keysIn = async (store: Store): Promise<string[]> => {
  const keys: string[] = []
  for await (const [at] of store.entries(rangeOf(''))) keys.push(at)
  return keys
}
/** A store that stays what it is when it is closed: for the next opening. */
const lasting = (inner: Store): Store => ({
  location: inner.location,
  epoch: inner.epoch,
  get: (at) => inner.get(at),
  getMany: (keys) => inner.getMany(keys),
  entries: (range) => inner.entries(range),
  write: (operations, options) => inner.write(operations, options),
  compact: (range) => inner.compact(range),
  close: async () => {},
  [Symbol.asyncDispose]: async () => {},
})

storeContract('encrypted', async () => unlockStore(await openMemoryStore(), { key }))
storeContract('encrypted, on disk', async () => unlockStore(await openLevelStore(room.path('contract')), { key }), {
  reopen: async (location) => unlockStore(await openLevelStore(location), { key }),
})

describe('an encrypted store', () => {
  it('gives back what it was given, by key, by keys and by range', async () => {
    const store = await unlockStore(await openMemoryStore(), { key })
    const keys = ['h/a', 'i/a/1', 'q/a/s', 'r/a/s/1', 'r/b/d/1', 'w/0/a', 'x/c']
    await store.write(keys.map((at) => put(at)))
    for (const at of keys) assert.equal(await readText(store, at), `value of ${at}`)
    const many = await store.getMany(['r/a/s/1', 'none', 'h/a'])
    assert.deepEqual(
      many.map((one) => one && new TextDecoder().decode(one)),
      ['value of r/a/s/1', undefined, 'value of h/a'],
    )
    assert.deepEqual(await keysIn(store), keys)
  })

  it('has nothing on the disk of what runs hold, also not of the key, and not in the log of LevelDB', async () => {
    const directory = room.path('canary')
    const store = await unlockStore(await openLevelStore(directory), { key })
    await store.write(['h/a', 'r/a/s/1', 'i/a/1', 'q/a/s'].map((at) => put(at, `CANARY ${'x'.repeat(500)}`)))
    await store.compact()
    await store.write([put('r/a/s/2', 'CANARY')])
    await store.close()
    for (const name of await readdir(directory)) {
      const content = await readFile(join(directory, name))
      assert.equal(content.includes('CANARY'), false, name)
      assert.equal(content.includes(Buffer.from(key)), false, name)
    }
  })

  it('refuses a key that is not its own, a missing one, and a store that was begun without; nothing is changed', async () => {
    const inner = await openMemoryStore()
    const open = (encryption?: Parameters<typeof unlockStore>[1]) => unlockStore(lasting(inner), encryption)
    const store = await open({ key })
    await store.write([put('h/a')])
    const before = await keysIn(inner)
    await rejectsWith(open({ key: keyOf('other') }), 'ENCRYPTION_KEY_WRONG')
    await rejectsWith(open({ key: keyOf('other'), previousKeys: [keyOf('third')] }), 'ENCRYPTION_KEY_WRONG')
    await rejectsWith(open(), 'ENCRYPTION_KEY_REQUIRED')
    await assert.rejects(open({ key: key.subarray(1) }), TypeError)
    await assert.rejects(open({ key: 'a password' as never }), TypeError)
    assert.deepEqual(await keysIn(inner), before)
    assert.equal(await readText(await open({ key }), 'h/a'), 'value of h/a')

    const plain = await openMemoryStore()
    await plain.write([put('h/a')])
    await rejectsWith(unlockStore(lasting(plain), { key }), 'STORE_NOT_ENCRYPTED')
    assert.deepEqual(await keysIn(plain), ['h/a'])
  })

  it('is changed over to a new key, also when that is cut short anywhere; then the old one opens it no more', async () => {
    const other = keyOf('other')
    for (let dying = 0; ; dying++) {
      const inner = await openMemoryStore()
      const first = await unlockStore(lasting(inner), { key })
      for (let run = 0; run < 5; run++) await first.write([put(`h/${run}`), put(`r/${run}/s/1`)])
      let writes = 0
      const mortal: Store = {
        ...lasting(inner),
        async write(operations, options) {
          if (writes++ === dying) throw new Error('dies')
          await inner.write(operations, options)
        },
      }
      const isWhole = await unlockStore(mortal, { key: other, previousKeys: [key] }).then(
        () => true,
        () => false,
      )
      const second = await unlockStore(lasting(inner), { key: other, previousKeys: [key] })
      await second.write([put('r/3/s/2'), put('h/new')])
      await rejectsWith(unlockStore(lasting(inner), { key }), 'ENCRYPTION_KEY_WRONG')
      const third = await unlockStore(lasting(inner), { key: other })
      for (let run = 0; run < 5; run++) assert.equal(await readText(third, `r/${run}/s/1`), `value of r/${run}/s/1`)
      assert.equal(await readText(third, 'r/3/s/2'), 'value of r/3/s/2')
      assert.equal(await readText(third, 'h/new'), 'value of h/new')
      if (isWhole) break
    }
  })

  it('removes the key of a run of which nothing is left; what copies have of it opens no more', async () => {
    const inner = await openMemoryStore()
    const store = await unlockStore(lasting(inner), { key })
    await store.write([put('h/a'), put('r/a/s/1'), put('h/a-b'), put('r/a-b/s/1')])
    const copy = await inner.get('r/a/s/1')
    assert.ok(copy)
    await store.write([{ type: 'del', key: 'h/a' }])
    assert.ok((await keysIn(inner)).includes('k/a'), 'something is left of it')
    await store.write([{ type: 'del', key: 'r/a/s/1' }])
    assert.deepEqual(await keysIn(inner), ['e/store', 'h/a-b', 'k/a-b', 'r/a-b/s/1'])
    await inner.write([{ type: 'put', key: 'r/a/s/1', value: copy }])
    assert.equal((await store.get('r/a/s/1'))?.byteLength, 0)
    await store.write([put('h/a'), put('r/a/s/1', 'anew')]) // another run of that id
    assert.equal(await readText(store, 'r/a/s/1'), 'anew')
    assert.equal(await readText(store, 'r/a-b/s/1'), 'value of r/a-b/s/1')
  })

  it('keeps apart who writes, reads and deletes a run at once', async () => {
    const inner = await openMemoryStore()
    const store = await unlockStore(lasting(inner), { key })
    await Promise.all(Array.from({ length: 20 }, (_, n) => store.write([put(`r/a/s/${n}`)])))
    await Promise.all([
      store.write(Array.from({ length: 20 }, (_, n) => ({ type: 'del', key: `r/a/s/${n}` }) as const)),
      store.write([put('h/a')]),
      store.write([put('r/a/d/1')]),
    ])
    const again = await unlockStore(lasting(inner), { key })
    for (const at of ['h/a', 'r/a/d/1']) assert.equal(await readText(again, at), `value of ${at}`)
  })

  it('does not take a record that stands under another key, or of which a bit is flipped', async () => {
    const inner = await openMemoryStore()
    const store = await unlockStore(lasting(inner), { key })
    await store.write([put('r/a/s/1'), put('r/a/s/2')])
    const value = (await inner.get('r/a/s/1')) ?? assert.fail()
    await inner.write([{ type: 'put', key: 'r/a/s/2', value }])
    assert.equal((await store.get('r/a/s/2'))?.byteLength, 0)
    for (let at = 0; at < value.byteLength; at++) {
      await inner.write([{ type: 'put', key: 'r/a/s/1', value: value.with(at, (value[at] ?? 0) ^ 1) }])
      assert.equal((await store.get('r/a/s/1'))?.byteLength, 0, `byte ${at}`)
    }
  })
})
