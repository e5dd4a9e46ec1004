import type { Operation, Store } from 'perdure'

/** A store whose writes are counted. Its bytes are those of keys and values: what LevelDB's log is given, before it merges its files. */
export interface WatchedStore {
  readonly store: Store
  readonly syncs: () => number
  readonly bytes: () => number
  /** Milliseconds that a write was under way. */
  readonly writingMs: () => number
}

const sizeOf = (operation: Operation): number =>
  Buffer.byteLength(operation.key) + (operation.type === 'put' ? operation.value.byteLength : 0)

export function watchWrites(store: Store): WatchedStore {
  let syncs = 0
  let bytes = 0
  let writingMs = 0
  return {
    syncs: () => syncs,
    bytes: () => bytes,
    writingMs: () => writingMs,
    store: {
      location: store.location,
      epoch: store.epoch,
      get: (key) => store.get(key),
      getMany: (keys) => store.getMany(keys),
      entries: (range) => store.entries(range),
      async write(operations, options) {
        if (options?.sync !== false) syncs++
        for (const operation of operations) bytes += sizeOf(operation)
        const startedAt = performance.now()
        await store.write(operations, options)
        writingMs += performance.now() - startedAt
      },
      compact: (range) => store.compact(range),
      close: () => store.close(),
      [Symbol.asyncDispose]: () => store.close(),
    },
  }
}
