import { randomBytes } from 'node:crypto'
import { PerdureError } from '../errors.ts'
import { KEY_BYTES, seal, toKeyId, unseal } from './cipher.ts'
import { decodeRecord, encodeRecord } from './codec.ts'
import { rangeOf } from './keys.ts'
import type { Operation, Store } from './store.ts'

/** With what the records of a store are encrypted. */
export interface Encryption {
  /** 32 bytes, such as `crypto.randomBytes(32)`; kept where only this program has it. */
  readonly key: Uint8Array
  /** Keys that the store was opened with before. Opening it with a new `key` and the last one here changes it over to the new one. */
  readonly previousKeys?: readonly Uint8Array[] | undefined
}

/**
 * A store whose records of runs are encrypted. Each run has a key of its own, which is kept in the store, wrapped with the key of the caller; so a
 * change of the caller's key writes only these, and a run whose key is gone cannot be read any more, wherever copies of its records may be.
 *
 * | key | record |
 * | --- | --- |
 * | `e/store` | the key of the hashes in this store, wrapped, and the id of the key that it is wrapped with |
 * | `k/<run>` | the key of a run, wrapped |
 *
 * What the keys of records show is not encrypted: ids of runs, names of steps, times of deadlines. Indexes have nothing else in them.
 */
const STORE_KEY = 'e/store'
/** Where the key of a run is, which is given as it is written in keys. */
export const runKeyOf = (run: string): string => `k/${run}`
const isOwn = (key: string): boolean => key === STORE_KEY || key.startsWith('k/')
/** The run, as it is written in keys, whose records under such a key are encrypted. */
const runOf = (key: string): string | undefined => /^[hriq]\/([^/]+)/.exec(key)?.[1]

/** How many keys of runs are kept in memory. */
const MAX_CACHED = 10_000
const ROTATION_BATCH = 1_000
/** What cannot be decrypted is as good as cut off: whoever reads it says which run is damaged. */
const UNREADABLE = new Uint8Array(0)

interface Wrapped {
  /** Of the key that it is wrapped with. */
  readonly keyId: string
  readonly wrapped: Uint8Array
}

/** A key of a run in memory. */
interface RunKey {
  readonly secret: Promise<Uint8Array | undefined>
  /** It is not on disk yet: every batch brings it until one has. */
  isNew: boolean
  /** Batches under way that are encrypted with it. */
  writes: number
}

/**
 * What is used of a store from now on: as it is or, with `encryption`, what reads and writes it encrypted; an empty one is made so. When it fails, the store is closed.
 *
 * Errors: `ENCRYPTION_KEY_REQUIRED`, `ENCRYPTION_KEY_WRONG`, `STORE_NOT_ENCRYPTED` (nothing was changed), a `TypeError` for what is no key, those of `Store`.
 */
export async function unlockStore(store: Store, encryption: Encryption | undefined): Promise<Store> {
  try {
    if (encryption !== undefined) return await encryptStore(store, encryption)
    if ((await store.get(STORE_KEY)) === undefined) return store
    throw new PerdureError(
      'ENCRYPTION_KEY_REQUIRED',
      `The store at ${store.location} is encrypted. Open it with \`encryption: { key }\`; the commands take the key, in base64, from \`PERDURE_KEY\`.`,
      { details: { directory: store.location } },
    )
  } catch (error) {
    await store.close()
    throw error
  }
}

async function encryptStore(store: Store, encryption: Encryption): Promise<Store> {
  const keys = toKeys(encryption)
  const current = toKeyId(encryption.key)
  const wrap = (name: string, secret: Uint8Array): Operation => {
    const wrapped: Wrapped = { keyId: current, wrapped: seal(encryption.key, name, secret) }
    return { type: 'put', key: name, value: encodeRecord(name, wrapped) }
  }
  const unwrap = (name: string, bytes: Uint8Array): Uint8Array | undefined => {
    const { keyId, wrapped } = decodeRecord(name, bytes) as Wrapped // its checksum is right: written by `wrap`
    const key = keys.get(keyId)
    return key === undefined ? undefined : unseal(key, name, wrapped)
  }

  const hashKey = await openHashKey(store, { current, wrap, unwrap })
  const runKeys = new Map<string, RunKey>()
  const leaving = new Map<string, Promise<void>>()
  let compacting: Promise<void> | undefined

  const readRunKey = async (run: string): Promise<Uint8Array | undefined> => {
    const name = runKeyOf(run)
    const bytes = await store.get(name)
    return bytes === undefined ? undefined : unwrap(name, bytes)
  }
  const remember = (run: string, key: RunKey): RunKey => {
    runKeys.set(run, key)
    if (runKeys.size > MAX_CACHED)
      for (const [other, { isNew, writes }] of runKeys) {
        if (isNew || writes > 0 || other === run) continue
        runKeys.delete(other)
        break
      }
    return key
  }
  /** To read with: a run that has none has no records either, or they cannot be read. */
  const findRunKey = async (run: string): Promise<Uint8Array | undefined> => {
    const known = runKeys.get(run)
    if (known !== undefined) return known.secret
    const secret = await readRunKey(run)
    if (secret !== undefined && !runKeys.has(run)) remember(run, { secret: Promise.resolve(secret), isNew: false, writes: 0 })
    return secret
  }
  /** To write with: one that has none gets one. */
  const takeRunKey = async (run: string): Promise<RunKey> => {
    await leaving.get(run)
    let known = runKeys.get(run)
    if (known === undefined) {
      const key: RunKey = { isNew: false, writes: 0, secret: readRunKey(run) }
      known = remember(run, key)
    }
    known.writes++
    if ((await known.secret) !== undefined) return known
    const made = runKeys.get(run)
    if (made !== undefined && made !== known) {
      made.writes++ // by somebody else meanwhile
      return made
    }
    return remember(run, { isNew: true, writes: 1, secret: Promise.resolve(randomBytes(KEY_BYTES)) })
  }

  const decrypt = async (key: string, bytes: Uint8Array): Promise<Uint8Array> => {
    const run = runOf(key)
    if (run === undefined) return bytes
    const secret = await findRunKey(run)
    return (secret === undefined ? undefined : unseal(secret, key, bytes)) ?? UNREADABLE
  }

  const hasRecords = async (run: string): Promise<boolean> => {
    if ((await store.get(`h/${run}`)) !== undefined) return true
    for (const kind of ['r', 'i', 'q'])
      for await (const _ of store.entries({ ...rangeOf(`${kind}/${run}/`), limit: 1 })) return true
    return false
  }
  /** The key of a run of which nothing is left goes, and with it what the disk may still have of its records. */
  const removeKey = async (run: string): Promise<void> => {
    if (leaving.has(run) || (runKeys.get(run)?.writes ?? 0) > 0) return
    if (await hasRecords(run)) return
    if (leaving.has(run) || (runKeys.get(run)?.writes ?? 0) > 0) return
    runKeys.delete(run)
    const gone = store
      .write([{ type: 'del', key: runKeyOf(run) }])
      .catch(() => {}) // it opens nothing any more, and goes when the run is deleted again
      .finally(() => leaving.delete(run))
    leaving.set(run, gone)
    await gone
    compacting ??= store
      .compact(rangeOf('k/'))
      .catch(() => {}) // the store is being closed
      .finally(() => {
        compacting = undefined
      })
  }

  const encrypted: Store = {
    location: store.location,
    epoch: store.epoch,
    hashKey,
    async *lostKeys() {
      for await (const [key] of store.entries(rangeOf('k/'))) if (!(await hasRecords(toRun(key)))) yield toRun(key)
    },
    async get(key) {
      const bytes = await store.get(key)
      return bytes === undefined || isOwn(key) ? undefined : decrypt(key, bytes)
    },
    async getMany(keys) {
      const found = await store.getMany(keys)
      return Promise.all(
        found.map((bytes, index) => {
          const key = keys[index] ?? ''
          return bytes === undefined || isOwn(key) ? undefined : decrypt(key, bytes)
        }),
      )
    },
    entries(range) {
      const entries = store.entries(range)
      return {
        async *[Symbol.asyncIterator]() {
          for await (const [key, bytes] of entries) if (!isOwn(key)) yield [key, await decrypt(key, bytes)] as const
        },
      }
    },
    async write(operations, options) {
      const taken = new Map<string, RunKey>()
      try {
        for (const { type, key } of operations) {
          const run = type === 'put' ? runOf(key) : undefined
          if (run !== undefined && !taken.has(run)) taken.set(run, await takeRunKey(run))
        }
        const sealed: Operation[] = []
        for (const [run, { isNew, secret }] of taken) {
          const bytes = await secret
          if (isNew && bytes !== undefined) sealed.push(wrap(runKeyOf(run), bytes))
        }
        for (const operation of operations) {
          if (operation.type === 'del' && isOwn(operation.key)) continue // see `removeKey`
          const run = runOf(operation.key)
          const secret = run === undefined ? undefined : await taken.get(run)?.secret
          if (operation.type === 'del' || secret === undefined) sealed.push(operation)
          else sealed.push({ ...operation, value: seal(secret, operation.key, operation.value) })
        }
        await store.write(sealed, options)
        for (const key of taken.values()) key.isNew = false
      } finally {
        for (const key of taken.values()) key.writes--
      }
      const ended = new Set(
        operations.filter(({ type, key }) => type === 'del' && /^[hrxk]\//.test(key)).map(({ key }) => toRun(key)),
      )
      for (const run of ended) if (!taken.has(run)) await removeKey(run)
    },
    compact: (range) => store.compact(range),
    async close() {
      await compacting
      await store.close()
    },
    [Symbol.asyncDispose]: () => encrypted.close(),
  }
  return encrypted
}

const toRun = (key: string): string => key.split('/')[1] ?? ''

function toKeys({ key, previousKeys = [] }: Encryption): ReadonlyMap<string, Uint8Array> {
  const all = [key, ...previousKeys]
  for (const one of all)
    if (!(one instanceof Uint8Array) || one.byteLength !== KEY_BYTES)
      throw new TypeError(
        `Expected a key of the store to be a Uint8Array of ${KEY_BYTES} bytes, got ${one instanceof Uint8Array ? `${one.byteLength} bytes` : typeof one}`,
      )
  return new Map(all.map((one) => [toKeyId(one), one]))
}

interface Wrapping {
  readonly current: string
  readonly wrap: (name: string, secret: Uint8Array) => Operation
  readonly unwrap: (name: string, bytes: Uint8Array) => Uint8Array | undefined
}

/** The key of the hashes of a store; by it is seen that the caller's key is the right one. */
async function openHashKey(store: Store, { current, wrap, unwrap }: Wrapping): Promise<Uint8Array> {
  const { location } = store
  const bytes = await store.get(STORE_KEY)
  if (bytes === undefined) {
    for await (const _ of store.entries({ ...rangeOf('h/'), limit: 1 }))
      throw new PerdureError(
        'STORE_NOT_ENCRYPTED',
        `The store at ${location} has runs that are not encrypted. Open it without \`encryption\`; to encrypt them, export them and import them into a new store.`,
        { details: { directory: location } },
      )
    const hashKey = randomBytes(KEY_BYTES)
    await store.write([wrap(STORE_KEY, hashKey)])
    return hashKey
  }
  const { keyId } = decodeRecord(STORE_KEY, bytes) as Wrapped // see `unwrap`
  const hashKey = unwrap(STORE_KEY, bytes)
  if (hashKey === undefined)
    throw new PerdureError(
      'ENCRYPTION_KEY_WRONG',
      `The store at ${location} is encrypted with the key \`${keyId}\`, and that is not among those given. Nothing was changed. Open it with that key, or name it in \`previousKeys\`.`,
      { details: { directory: location, keyId } },
    )
  if (keyId !== current) {
    await rotate(store, { wrap, unwrap })
    await store.write([wrap(STORE_KEY, hashKey)])
  }
  return hashKey
}

/** Wraps the keys of all runs anew. One that a crash cut short goes on at the next opening: the old key is needed until the store's own record has the new one. */
async function rotate(store: Store, { wrap, unwrap }: Pick<Wrapping, 'wrap' | 'unwrap'>): Promise<void> {
  let batch: Operation[] = []
  for await (const [name, bytes] of store.entries(rangeOf('k/'))) {
    const secret = unwrap(name, bytes)
    if (secret === undefined) continue // its run cannot be read, and stays so
    if (batch.push(wrap(name, secret)) < ROTATION_BATCH) continue
    await store.write(batch)
    batch = []
  }
  if (batch.length > 0) await store.write(batch)
}
