/** One change of a store. Keys are non-empty strings, ordered by their UTF-8 bytes; values are opaque bytes. */
export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

/** The keys from `gte` (included) up to `lt` (not included). */
export interface KeyRange {
  readonly gte: string
  readonly lt: string
  /** Highest first. Default: false. */
  readonly reverse?: boolean
  /** At most this many. Default: all. */
  readonly limit?: number
}

/**
 * Where bytes are kept: an ordered map with atomic, synced batches and one owning process. `storeContract` (in
 * `perdure/testing`) is its definition by test.
 *
 * After a failed {@link Store.write} the store refuses every further write with `STORE_WRITE_FAILED` until it has been
 * closed and opened again: what the medium holds is then read again and nothing is assumed.
 *
 * A store that somebody else has opened meanwhile (a process that slept and whose lock was broken) refuses everything but closing with
 * `STORE_FENCED`. A write is acknowledged only if this opening still was the owner after it.
 */
export interface Store extends AsyncDisposable {
  /** What a person recognises the store by: its directory, or `memory`. */
  readonly location: string
  /** Which opening of the store this is: it grows by one at each. */
  readonly epoch: number
  /** Of an encrypted store: what hashes that stand in keys are made with, so that nobody without it can try what they are of. Default: they are plain. */
  readonly hashKey?: Uint8Array | undefined
  /** Of an encrypted store: the runs whose key is there and nothing else: a crash came between their end and its. Deleting the record `runKeyOf` removes such a key. */
  readonly lostKeys?: (() => AsyncIterable<string>) | undefined
  get(key: string): Promise<Uint8Array | undefined>
  /** Values in the order of `keys`; `undefined` where a key is absent. */
  getMany(keys: readonly string[]): Promise<(Uint8Array | undefined)[]>
  /** Entries in key order, as they were when the iteration began. */
  entries(range: KeyRange): AsyncIterable<readonly [key: string, value: Uint8Array]>
  /**
   * Applies all operations or none. With `sync` (default: true) they are on the disk, not only in the system's cache, when the
   * promise resolves. Errors: `STORE_FULL`, `STORE_WRITE_FAILED`, `STORE_FENCED`, `STORE_CLOSED`.
   */
  write(operations: readonly Operation[], options?: { readonly sync?: boolean }): Promise<void>
  /**
   * Gives the space of what was deleted or overwritten in the range (default: everywhere) back to the disk. Reads and writes go on
   * meanwhile; closing waits for it. It takes as long as writing the range anew. Without a disk it does nothing.
   * Errors: `STORE_FENCED`, `STORE_CLOSED`, `STORE_WRITE_FAILED`.
   */
  compact(range?: { readonly gte: string; readonly lt: string }): Promise<void>
  /** Waits for writes under way, then lets go of the lock. Safe to call twice. */
  close(): Promise<void>
}
