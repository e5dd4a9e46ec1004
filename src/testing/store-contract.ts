import assert from 'node:assert/strict'
import * as node from 'node:test'
import { isPerdureError } from '../errors.ts'
import type { KeyRange, Operation, Store } from '../persistence/store.ts'
import type { TestRunner } from './test-runner.ts'

/** What the contract needs to know about a store besides how to open one. */
export interface StoreContractOptions {
  /**
   * Opens again what was open at this {@link Store.location} and has been closed. Without it the store is one that forgets, and the
   * tests of what lasts are skipped.
   */
  readonly reopen?: (location: string) => Promise<Store>
  /**
   * Opens the store that is open at this location a second time, from another process and against its lock: as happens to a process that
   * slept and was taken for dead. Closed by what is returned. Without it nobody else can get at the store, and the tests of the fence are skipped.
   */
  readonly supersede?: (location: string) => Promise<() => Promise<void>>
  /** Where the tests are registered. Default: `node:test`. For vitest: its own `{ describe, it }`. */
  readonly runner?: TestRunner
}

const encoder = new TextEncoder()
const bytes = (text: string): Uint8Array => encoder.encode(text)
const put = (key: string, value: string | Uint8Array = key): Operation => ({
  type: 'put',
  key,
  value: typeof value === 'string' ? bytes(value) : value,
})
const del = (key: string): Operation => ({ type: 'del', key })
const everything: KeyRange = { gte: '', lt: '\u{10ffff}' }

async function keysIn(entries: AsyncIterable<readonly [key: string, value: Uint8Array]>): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of entries) keys.push(key)
  return keys
}

const keysOf = async (store: Store, range: KeyRange): Promise<string[]> => keysIn(store.entries(range))

/**
 * Registers the tests that every {@link Store} passes: they are the definition of a store.
 *
 * @param open - opens a new, empty store each time. The contract closes it; removing what it left is up to the caller.
 * @example
 * ```ts
 * import { storeContract } from 'perdure/testing'
 *
 * storeContract('my store', () => openMyStore())
 * ```
 */
export function storeContract(name: string, open: () => Promise<Store>, options: StoreContractOptions = {}): void {
  const { describe, it }: TestRunner = options.runner ?? node
  describe(`store contract: ${name}`, () => {
    const check = (title: string, test: (store: Store) => Promise<void>): void => {
      it(title, { skip: false }, async () => {
        const store = await open()
        try {
          await test(store)
        } finally {
          await store.close()
        }
      })
    }
    order(check)
    values(check)
    batches(check)
    iteration(check)
    lifetime(check)
    lasting(it, open, options.reopen)
    ownership(it, open, options)
  })
}

type Check = (title: string, test: (store: Store) => Promise<void>) => void

function order(check: Check): void {
  check('a new store is empty', async (store) => {
    assert.deepEqual(await keysOf(store, everything), [])
    assert.equal(await store.get('absent'), undefined)
    assert.deepEqual(await store.getMany([]), [])
  })

  check('keys are ordered by their UTF-8 bytes, also where UTF-16 orders them otherwise', async (store) => {
    const keys = [
      'a',
      'a\u0000',
      'a\u0001',
      'aa',
      'b',
      'z',
      '~',
      '\u007f',
      '\u0080',
      'é',
      '\ud7ff',
      '\ue000',
      '\uffff',
      '😀',
      '\u{10fffe}',
    ]
    await store.write(keys.toReversed().map((key) => put(key)))
    assert.deepEqual(await keysOf(store, everything), keys)
    assert.deepEqual(await keysOf(store, { gte: '\uffff', lt: '\u{10ffff}' }), ['\uffff', '😀', '\u{10fffe}'])
  })

  check('a range has its lower bound and not its upper one', async (store) => {
    await store.write(['a', 'b', 'c', 'd'].map((key) => put(key)))
    assert.deepEqual(await keysOf(store, { gte: 'b', lt: 'd' }), ['b', 'c'])
    assert.deepEqual(await keysOf(store, { gte: 'b', lt: 'b' }), [])
    assert.deepEqual(await keysOf(store, { gte: 'd', lt: 'b' }), [])
    assert.deepEqual(await keysOf(store, { gte: '', lt: '' }), [])
    assert.deepEqual(await keysOf(store, { gte: 'c', lt: 'cc' }), ['c'])
  })

  check('a range ends at its limit, forwards and backwards', async (store) => {
    await store.write(['a', 'b', 'c', 'd'].map((key) => put(key)))
    assert.deepEqual(await keysOf(store, { gte: 'a', lt: 'd', limit: 2 }), ['a', 'b'])
    assert.deepEqual(await keysOf(store, { gte: 'a', lt: 'd', limit: 2, reverse: true }), ['c', 'b'])
    assert.deepEqual(await keysOf(store, { gte: 'a', lt: 'd', limit: 0 }), [])
    assert.deepEqual(await keysOf(store, { gte: 'a', lt: 'z', limit: 9, reverse: true }), ['d', 'c', 'b', 'a'])
  })

  check(
    'getMany answers in the order of its keys, with a gap where a key is absent and twice for a key named twice',
    async (store) => {
      await store.write([put('a'), put('b'), put('c')])
      assert.deepEqual(await store.getMany(['c', 'x', 'a', 'c']), [bytes('c'), undefined, bytes('a'), bytes('c')])
    },
  )

  check('a key that cannot be kept as it is is refused, and the store goes on', async (store) => {
    for (const key of ['', '!mine', '\u0000', ' ', 'half \ud83d']) {
      await assert.rejects(store.write([put('before'), { type: 'put', key, value: bytes('x') }]), TypeError)
      await assert.rejects(store.get(key), TypeError)
      await assert.rejects(store.getMany([key]), TypeError)
    }
    await store.write([put('after')])
    assert.deepEqual(await keysOf(store, everything), ['after'])
  })
}

function values(check: Check): void {
  check('a value keeps every byte', async (store) => {
    const all = Uint8Array.from({ length: 512 }, (_, index) => index % 256)
    await store.write([put('all', all), put('empty', new Uint8Array())])
    assert.deepEqual(await store.get('all'), all)
    assert.deepEqual(await store.get('empty'), new Uint8Array())
    for await (const [key, value] of store.entries({ gte: 'all', lt: 'b' })) assert.deepEqual([key, value], ['all', all])
  })

  check('a value may have 5 MB', async (store) => {
    const big = Uint8Array.from({ length: 5_000_000 }, (_, index) => (index * 31) % 251)
    await store.write([put('big', big)])
    const read = await store.get('big')
    assert.ok(read !== undefined && Buffer.compare(read, big) === 0)
  })

  check('a value shares no memory with what the caller wrote or read', async (store) => {
    const written = bytes('aaaa')
    const first = store.write([put('first', written)])
    const second = store.write([put('second', written.subarray(1, 3))])
    written.fill(0)
    await Promise.all([first, second])
    for (const read of await store.getMany(['first', 'second'])) read?.fill(1)
    ;(await store.get('first'))?.fill(2)
    for await (const [, value] of store.entries(everything)) value.fill(3)
    assert.deepEqual(await store.getMany(['first', 'second']), [bytes('aaaa'), bytes('aa')])
  })

  check('a value that is not bytes is refused, and nothing of its batch is written', async (store) => {
    // A caller without types could pass it.
    const wrong = { type: 'put', key: 'b', value: 'text' } as unknown as Operation
    await assert.rejects(store.write([put('a'), wrong]), TypeError)
    assert.deepEqual(await keysOf(store, everything), [])
  })
}

function batches(check: Check): void {
  check('an empty batch resolves', async (store) => {
    await store.write([])
    await store.write([], { sync: false })
  })

  check('within a batch the last operation on a key wins', async (store) => {
    await store.write([put('old')])
    await store.write([put('a', '1'), put('a', '2'), put('b'), del('b'), del('c'), put('c'), del('old'), del('absent')])
    assert.deepEqual(await store.getMany(['a', 'b', 'c', 'old']), [bytes('2'), undefined, bytes('c'), undefined])
  })

  check('a batch of 10,000 operations is applied', async (store) => {
    await store.write(Array.from({ length: 10_000 }, (_, index) => put(`n${String(index).padStart(5, '0')}`)))
    const keys = await keysOf(store, everything)
    assert.deepEqual([keys.length, keys[0], keys.at(-1)], [10_000, 'n00000', 'n09999'])
    await store.write(keys.map(del))
    assert.deepEqual(await keysOf(store, everything), [])
  })

  check('a reader never sees half of a batch', async (store) => {
    let written = 0
    const writer = (async () => {
      for (; written < 100; written += 1) await store.write([put('x', `${written}`), put('y', `${written}`)], { sync: false })
    })()
    while (written < 100) {
      const [x, y] = await store.getMany(['x', 'y'])
      assert.deepEqual(x, y)
    }
    await writer
  })

  check('writes that are under way together all take effect, in the order of their calls', async (store) => {
    await Promise.all(
      Array.from({ length: 300 }, (_, index) =>
        store.write([put(`k${index}`), put('last', `${index}`)], { sync: index % 50 === 0 }),
      ),
    )
    assert.equal((await keysOf(store, { gte: 'k', lt: 'l' })).length, 300)
    assert.deepEqual(await store.get('last'), bytes('299'))
  })
}

function iteration(check: Check): void {
  check('an iteration sees the store as it was when it began', async (store) => {
    const count = 2_000 // more than any page or cache of an implementation
    const keys = Array.from({ length: count }, (_, index) => `k${String(index).padStart(4, '0')}`)
    await store.write(keys.map((key) => put(key, 'before')))
    const seen: string[] = []
    for await (const [key, value] of store.entries(everything)) {
      if (seen.length === 0) await store.write([...keys.map(del), put('k0001x'), put('k1999', 'after')])
      assert.deepEqual(value, bytes('before'))
      seen.push(key)
    }
    assert.deepEqual(seen, keys)
    assert.deepEqual(await keysOf(store, everything), ['k0001x', 'k1999'])
  })

  check('entries can be iterated twice, each time as the store is then', async (store) => {
    const entries = store.entries(everything)
    await store.write([put('a')])
    assert.deepEqual(await keysIn(entries), ['a'])
    await store.write([put('b')])
    assert.deepEqual(await keysIn(entries), ['a', 'b'])
  })

  check('an iteration that is left early holds nothing, and the store closes', async (store) => {
    await store.write(Array.from({ length: 1_000 }, (_, index) => put(`k${index}`)))
    for await (const [key] of store.entries(everything)) if (key.startsWith('k1')) break
    const failing = async (): Promise<void> => {
      for await (const [key] of store.entries(everything)) throw new Error(`stop at ${key}`)
    }
    await assert.rejects(failing, /stop at k0/)
    await store.close()
  })

  check('a wrong limit or bound is a TypeError', async (store) => {
    for (const limit of [-1, 1.5, Number.NaN]) {
      await assert.rejects(async () => keysOf(store, { gte: 'a', lt: 'b', limit }), TypeError)
    }
    await assert.rejects(async () => keysOf(store, { gte: 'half \ud83d', lt: 'z' }), TypeError)
  })
}

const isClosed = (error: unknown): boolean => isPerdureError(error, 'STORE_CLOSED')

function lifetime(check: Check): void {
  check('compacting loses nothing, also beside writes', async (store) => {
    const keys = Array.from({ length: 1_000 }, (_, index) => `k${String(index).padStart(4, '0')}`)
    await store.write(keys.map((key) => put(key, new Uint8Array(1_000).fill(7))))
    await store.write(keys.slice(0, 900).map(del))
    const compacted = store.compact()
    await store.write([put('meanwhile')])
    await compacted
    await store.compact({ gte: 'k', lt: 'l' })
    await store.compact({ gte: 'l', lt: 'k' })
    assert.deepEqual(await keysOf(store, everything), [...keys.slice(900), 'meanwhile'])
    await assert.rejects(store.compact({ gte: 'half \ud83d', lt: 'z' }), TypeError)
    await store.close()
    await assert.rejects(store.compact(), isClosed)
  })

  check('a closed store refuses everything but closing', async (store) => {
    await store.write([put('a')])
    const begun = store.entries(everything)[Symbol.asyncIterator]()
    await begun.next()
    await store.close()
    await store.close()
    await assert.rejects(store.get('a'), isClosed)
    await assert.rejects(store.getMany(['a']), isClosed)
    await assert.rejects(store.getMany([]), isClosed)
    await assert.rejects(store.write([put('b')]), isClosed)
    await assert.rejects(store.write([]), isClosed)
    await assert.rejects(keysOf(store, everything), isClosed)
    await assert.rejects(begun.next(), isClosed)
  })

  check('closing during an iteration ends it with STORE_CLOSED', async (store) => {
    await store.write(Array.from({ length: 2_000 }, (_, index) => put(`k${index}`)))
    await assert.rejects(async () => {
      for await (const [key] of store.entries(everything)) if (key === 'k1') await store.close()
    }, isClosed)
  })

  check('a store closes when its scope ends', async (store) => {
    await store[Symbol.asyncDispose]()
    await assert.rejects(store.get('a'), isClosed)
  })

  check('writes under way finish before closing does', async (store) => {
    const finished: string[] = []
    const writes = Array.from({ length: 20 }, (_, index) => store.write([put(`k${index}`)]).then(() => finished.push('write')))
    await store.close().then(() => finished.push('close'))
    await Promise.all(writes)
    assert.equal(finished.length, 21)
    assert.equal(finished.at(-1), 'close')
  })
}

function lasting(it: TestRunner['it'], open: () => Promise<Store>, reopen: StoreContractOptions['reopen']): void {
  const skip = reopen === undefined ? 'this store forgets when it is closed' : false

  it('what was written is there when the store is opened again', { skip }, async () => {
    const store = await open()
    const big = new Uint8Array(3_000_000).fill(7)
    await store.write([put('a'), put('gone'), put('big', big)])
    await store.write([del('gone'), put('😀')], { sync: false })
    await store.close()
    if (reopen === undefined) return
    const again = await reopen(store.location)
    try {
      assert.deepEqual(await keysOf(again, everything), ['a', 'big', '😀'])
      assert.deepEqual(await again.get('big'), big)
    } finally {
      await again.close()
    }
  })

  it('closing keeps the writes that were under way', { skip }, async () => {
    const store = await open()
    const writes = Array.from({ length: 50 }, (_, index) => store.write([put(`k${index}`)]))
    await store.close()
    await Promise.all(writes)
    if (reopen === undefined) return
    const again = await reopen(store.location)
    try {
      assert.equal((await keysOf(again, everything)).length, 50)
    } finally {
      await again.close()
    }
  })
}

const isFenced = (error: unknown): boolean => isPerdureError(error, 'STORE_FENCED')

function ownership(it: TestRunner['it'], open: () => Promise<Store>, { reopen, supersede }: StoreContractOptions): void {
  it('each opening has an epoch of its own, above all before', { skip: false }, async () => {
    let store = await open()
    try {
      assert.ok(Number.isSafeInteger(store.epoch) && store.epoch >= 1, String(store.epoch))
      for (let opening = 0; reopen !== undefined && opening < 3; opening += 1) {
        const { epoch, location } = store
        await store.close()
        store = await reopen(location)
        assert.ok(store.epoch > epoch, `${store.epoch} after ${epoch}`)
      }
    } finally {
      await store.close()
    }
  })

  const skip = reopen === undefined || supersede === undefined ? 'nobody else can open this store' : false

  it('a store that somebody else has opened refuses everything but closing, and changes nothing (P7)', { skip }, async () => {
    if (reopen === undefined || supersede === undefined) return
    const store = await open()
    const { location, epoch } = store
    await store.write([put('before')])
    const release = await supersede(location)
    const queued = await Promise.allSettled(['one', 'two'].map((key) => store.write([put(key), del('before')])))
    for (const outcome of queued) assert.ok(outcome.status === 'rejected' && isFenced(outcome.reason))
    await assert.rejects(store.write([put('three')], { sync: false }), isFenced)
    await assert.rejects(store.write([]), isFenced)
    await assert.rejects(store.compact(), isFenced)
    await assert.rejects(store.get('before'), isFenced)
    await assert.rejects(store.getMany(['before']), isFenced)
    await assert.rejects(keysOf(store, everything), isFenced)
    await store.close()
    await store.close()
    await assert.rejects(store.write([put('four')]), isClosed)
    await release()
    const again = await reopen(location)
    try {
      assert.deepEqual(await keysOf(again, everything), ['before'])
      assert.ok(again.epoch > epoch + 1, `${again.epoch} after ${epoch} and another`)
    } finally {
      await again.close()
    }
  })
}
