/**
 * The one adapter from an abstract-level database to {@link Store}.
 *
 * Invariants:
 * 1. One write is under way at a time, in the order of the calls. LevelDB acknowledges, and after a crash loses, what it is given
 *    after a write that failed halfway; so nothing may follow a write before its outcome is known. (P1)
 * 2. A failed write ends writing for this opening; reads go on. (P1)
 * 3. Who is not the owner any more closes the database: nothing is read of files that another process changes, and LevelDB's own
 *    housekeeping, which would delete that process's files, ends. A write is acknowledged if this was still the owner after it. (P7)
 * 4. A write's bytes are taken when `write` is called, not when its turn comes: the caller may reuse its buffers at once.
 */
import type { AbstractIteratorOptions, AbstractLevel } from 'abstract-level'
import { PerdureError } from '../errors.ts'
import { toReadError, toRefusedWriteError, toWriteError } from './level-failure.ts'
import type { KeyRange, Operation, Store } from './store.ts'
import type { StoreFence } from './store-fence.ts'
import { assertBound, assertKey, firstUserKey } from './store-key.ts'

/** A database this adapter can run on: `utf8` keys; values that are plain `Uint8Array`s and share no memory with their reader. */
export type LevelDatabase = AbstractLevel<string | Buffer | Uint8Array, string, Uint8Array>

/** Where a {@link LevelDatabase} is and what holds it. */
export interface LevelStoreOptions {
  readonly location: string
  readonly epoch: number
  /** Who tells whether this opening still is the owner. Default: nobody else can be. */
  readonly fence?: StoreFence
  /** Gives the space of what was deleted between the keys back. Default: there is none to give back. */
  readonly compact?: (gte: string, lt: string) => Promise<void>
  /** Called once when the database has been closed. */
  readonly onClosed?: () => void
}

/** Makes a {@link Store} of an open database, which it owns from now on: closing the store closes it. */
export function createLevelStore(database: LevelDatabase, options: LevelStoreOptions): Store {
  return new LevelStore(database, options)
}

type Batch = ReturnType<typeof gather>

const pageSize = 256
/** A process that slept for less than this reads without asking whether it still is the owner; it never writes without. */
const readCheckMs = 100

class LevelStore implements Store {
  readonly location: string
  readonly epoch: number
  readonly #database: LevelDatabase
  readonly #options: LevelStoreOptions
  #checkedAt = performance.now()
  #letGo: Promise<void> | undefined
  #failure: PerdureError | undefined
  #closing: Promise<void> | undefined
  #lastWrite: Promise<void> = Promise.resolve()

  constructor(database: LevelDatabase, options: LevelStoreOptions) {
    this.#database = database
    this.#options = options
    this.location = options.location
    this.epoch = options.epoch
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#assertReadable()
    assertKey(key)
    return await this.#read(this.#database.get(key))
  }

  async getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    this.#assertReadable()
    for (const key of keys) assertKey(key)
    return await this.#read(this.#database.getMany([...keys]))
  }

  entries(range: KeyRange): AsyncIterable<readonly [key: string, value: Uint8Array]> {
    const options = toIteratorOptions(range)
    return { [Symbol.asyncIterator]: () => this.#iterate(options) }
  }

  async *#iterate(
    options: AbstractIteratorOptions<string, Uint8Array>,
  ): AsyncGenerator<readonly [string, Uint8Array], void, void> {
    this.#assertReadable()
    // A Level iterator reads the database as it is at this moment.
    const iterator = this.#database.iterator(options)
    try {
      for (;;) {
        this.#assertReadable()
        const page = await this.#read(iterator.nextv(pageSize))
        if (page.length === 0) return
        for (const entry of page) {
          this.#assertNotClosed()
          yield entry
        }
      }
    } finally {
      await iterator.close()
    }
  }

  async write(operations: readonly Operation[], options: { readonly sync?: boolean } = {}): Promise<void> {
    this.#assertNotClosed()
    if (this.#letGo !== undefined) this.#assertOwner()
    if (this.#failure !== undefined) throw toRefusedWriteError(this.#failure, this.location)
    for (const operation of operations) assertOperation(operation)
    if (operations.length === 0) return
    const batch = gather(this.#database, operations) // invariant 4
    const written = this.#lastWrite.then(() => this.#commit(batch, options.sync ?? true)) // invariant 1
    this.#lastWrite = written.catch(() => {}) // The caller of the failing write has the error; this chain only keeps the order.
    return await written
  }

  async #commit(batch: Batch, sync: boolean): Promise<void> {
    if (this.#failure !== undefined) {
      await batch.close()
      throw toRefusedWriteError(this.#failure, this.location)
    }
    this.#assertOwner() // invariant 3, also below
    try {
      const options: { sync: boolean } = { sync } // An option of classic-level, unknown to the abstract type.
      await batch.write(options)
    } catch (error) {
      this.#assertOwner()
      this.#failure = toWriteError(error, this.location) // invariant 2
      throw this.#failure
    }
    this.#assertOwner()
  }

  async compact({ gte, lt }: { readonly gte: string; readonly lt: string } = everything): Promise<void> {
    this.#assertNotClosed()
    this.#assertOwner()
    assertBound('gte', gte)
    assertBound('lt', lt)
    if (gte >= lt) return
    try {
      await this.#options.compact?.(gte, lt)
    } catch (error) {
      this.#assertNotClosed()
      this.#assertOwner()
      throw toWriteError(error, this.location)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#lastWrite.then(() => this.#letGo ?? this.#database.close()).then(() => this.#options.onClosed?.())
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #read<T>(reading: Promise<T>): Promise<T> {
    try {
      return await reading
    } catch (error) {
      this.#assertNotClosed()
      this.#assertOwner()
      throw toReadError(error, this.location)
    }
  }

  #assertReadable(): void {
    this.#assertNotClosed()
    if (performance.now() - this.#checkedAt > readCheckMs || this.#letGo !== undefined) this.#assertOwner()
  }

  #assertOwner(): void {
    const { fence } = this.#options
    if (fence === undefined) return
    const error = fence.check()
    this.#checkedAt = performance.now()
    if (error === undefined) return
    this.#letGo ??= this.#database.close()
    this.#letGo.catch(() => {}) // Whoever closes the store hears of it.
    throw error
  }

  #assertNotClosed(): void {
    if (this.#closing === undefined) return
    throw new PerdureError('STORE_CLOSED', `The store at ${this.location} is closed. Open it again to use it.`, {
      details: { directory: this.location },
    })
  }
}

/** Copies the operations into the database's own memory, to be written later. */
function gather(database: LevelDatabase, operations: readonly Operation[]) {
  const batch = database.batch()
  for (const operation of operations) {
    if (operation.type === 'put') batch.put(operation.key, operation.value)
    else batch.del(operation.key)
  }
  return batch
}

const everything = { gte: '', lt: '\u{10ffff}' }

function toIteratorOptions(range: KeyRange): AbstractIteratorOptions<string, Uint8Array> {
  const { gte, lt, reverse = false, limit = Number.POSITIVE_INFINITY } = range
  assertBound('gte', gte)
  assertBound('lt', lt)
  if (limit !== Number.POSITIVE_INFINITY && (!Number.isInteger(limit) || limit < 0)) {
    throw new TypeError(`Expected \`limit\` to be an integer ≥ 0, got \`${String(limit)}\` (${typeof limit})`)
  }
  // An empty bound means "no bound" to Level, so both are raised to where users' keys begin.
  const lowest = (bound: string): string => (bound < firstUserKey ? firstUserKey : bound)
  return { gte: lowest(gte), lt: lowest(lt), reverse, limit: limit === Number.POSITIVE_INFINITY ? -1 : limit }
}

function assertOperation(operation: Operation): void {
  assertKey(operation.key)
  if (operation.type === 'del') return
  if (operation.type !== 'put') throw new TypeError("Expected `type` of an operation to be 'put' or 'del'")
  if (!(operation.value instanceof Uint8Array)) {
    throw new TypeError(
      `Expected the value of ${JSON.stringify(operation.key)} to be a Uint8Array, got ${typeof operation.value}`,
    )
  }
}
