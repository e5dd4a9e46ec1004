import type { Operation, Store } from 'perdure'

/** Stores that break their promise, each in its own way. What they are given is a store that outlives them. */

const copyOf = (store: Store): Store => ({
  location: store.location,
  epoch: store.epoch,
  get: (key) => store.get(key),
  getMany: (keys) => store.getMany(keys),
  entries: (range) => store.entries(range),
  write: (operations, options) => store.write(operations, options),
  compact: (range) => store.compact(range),
  close: () => store.close(),
  [Symbol.asyncDispose]: () => store.close(),
})

/** Acknowledges a write and applies it with the next one: the last is lost when nobody closes the store. */
export function lazyStore(store: Store): Store {
  const held = new Map<string, Operation>()
  const flush = async (): Promise<void> => {
    const operations = [...held.values()]
    held.clear()
    await store.write(operations)
  }
  const find = async (key: string): Promise<Uint8Array | undefined> => {
    const operation = held.get(key)
    if (operation === undefined) return store.get(key)
    return operation.type === 'put' ? operation.value : undefined
  }
  return {
    ...copyOf(store),
    get: find,
    getMany: (keys) => Promise.all(keys.map(find)),
    async *entries(range) {
      await flush()
      yield* store.entries(range)
    },
    async write(operations) {
      await flush()
      for (const operation of operations) held.set(operation.key, operation)
    },
    async close() {
      await flush()
      await store.close()
    },
  }
}

/** Takes the last write of the opening before back whenever it is opened. */
export function createForgetfulStores(): (store: Store) => Store {
  let undo: readonly Operation[] = []
  return (store) => {
    let undone: Promise<void> | undefined
    const ready = (): Promise<void> => {
      undone ??= store.write(undo)
      return undone
    }
    return {
      ...copyOf(store),
      get: (key) => ready().then(() => store.get(key)),
      getMany: (keys) => ready().then(() => store.getMany(keys)),
      async *entries(range) {
        await ready()
        yield* store.entries(range)
      },
      async write(operations, options) {
        await ready()
        const keys = operations.map(({ key }) => key)
        const before = await store.getMany(keys)
        undo = keys.map((key, index) => {
          const value = before[index]
          return value === undefined ? { type: 'del', key } : { type: 'put', key, value }
        })
        await store.write(operations, options)
      },
    }
  }
}
