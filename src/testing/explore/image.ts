import { createLevelStore } from '../../persistence/level-store.ts'
import type { Operation, Store } from '../../persistence/store.ts'
import { leaseStore } from './leased-store.ts'
import type { StoreReader } from './records.ts'

/** The bytes of a store in memory, which outlive whoever has it open. */
export interface StoreImage {
  /** Opens it once more, whether or not it was closed. The epoch is one higher each time. */
  open(): Store
  /** The power is cut: what was written without `sync`, and no synced write after it, is gone. */
  cut(): Promise<void>
  /** Reads it without opening it. */
  readonly reader: StoreReader
}

/** An image without any bytes. */
export async function createImage(): Promise<StoreImage> {
  const { MemoryLevel } = await import('memory-level')
  // What is written is never changed afterwards: the codec makes new bytes. So it need not be copied, as a store for users does.
  const database = new MemoryLevel<string, Uint8Array>({ storeEncoding: 'view', keyEncoding: 'utf8', valueEncoding: 'view' })
  await database.open()
  const store = createLevelStore(database, { location: 'memory', epoch: 0 })
  let epoch = 0
  /** What undoes the writes since the last synced one. */
  let undo: Operation[] = []
  /** What undoes a write is read when all before it are applied. */
  let last: Promise<unknown> = Promise.resolve()
  const apply = async (operations: readonly Operation[], options?: { readonly sync?: boolean }): Promise<void> => {
    if (options?.sync === false) undo = [...(await invert(store, operations)), ...undo]
    await store.write(operations, options)
    if (options?.sync !== false) undo = []
  }
  const image: Store = {
    ...leaseStore(store, 0),
    write(operations, options) {
      const applied = last.then(() => apply(operations, options))
      last = applied.catch(() => {})
      return applied
    },
  }
  return {
    reader: store,
    open: () => leaseStore(image, ++epoch),
    async cut() {
      await last
      await store.write(undo)
      undo = []
    },
  }
}

/** What brings back what `operations` replace. */
async function invert(store: Store, operations: readonly Operation[]): Promise<Operation[]> {
  const keys = [...new Set(operations.map(({ key }) => key))]
  const values = await store.getMany(keys)
  return keys.map((key, index) => {
    const value = values[index]
    return value === undefined ? { type: 'del', key } : { type: 'put', key, value }
  })
}
