import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Operation, Store } from '../../src/persistence/store.ts'

/** A memory store whose writes can be held and made to fail, and that counts what is written and read. */
export interface HeldStore extends Store {
  /** Each write that was asked for, in order. */
  readonly writes: { readonly operations: readonly Operation[]; readonly sync: boolean | undefined }[]
  /** Bytes of values given out by `get` and `entries`. */
  readBytes: number
  /** From now on a write waits until `release`. */
  hold(): void
  /** Lets the oldest held write go on, or fail with `error`. */
  release(error?: Error): void
  /** Resolves when a write is being held. */
  held(): Promise<void>
}

export async function openHeldStore(): Promise<HeldStore> {
  const store = await openMemoryStore()
  const gates: PromiseWithResolvers<void>[] = []
  let holding = false
  let arrival = Promise.withResolvers<void>()
  const held: HeldStore = {
    location: 'memory',
    epoch: store.epoch,
    writes: [],
    readBytes: 0,
    hold() {
      holding = true
    },
    release(error) {
      const gate = gates.shift()
      if (gates.length === 0) arrival = Promise.withResolvers()
      if (error === undefined) gate?.resolve()
      else gate?.reject(error)
    },
    held: () => arrival.promise,
    async get(key) {
      const bytes = await store.get(key)
      held.readBytes += bytes?.byteLength ?? 0
      return bytes
    },
    getMany: (keys) => store.getMany(keys),
    async *entries(range) {
      for await (const entry of store.entries(range)) {
        held.readBytes += entry[1].byteLength
        yield entry
      }
    },
    async write(operations, options = {}) {
      held.writes.push({ operations: [...operations], sync: options.sync })
      if (holding) {
        const gate = Promise.withResolvers<void>()
        gates.push(gate)
        arrival.resolve()
        await gate.promise
      }
      await store.write(operations, options)
    },
    compact: (range) => store.compact(range),
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  }
  return held
}
