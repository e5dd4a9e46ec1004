import { createLevelStore } from '../../persistence/level-store.ts'
import type { Store } from '../../persistence/store.ts'
import { leaseStore } from './leased-store.ts'
import type { StoreReader } from './records.ts'

/** The bytes of a store in memory, which outlive whoever has it open. */
export interface StoreImage {
  /** Opens it once more, whether or not it was closed. The epoch is one higher each time. */
  open(): Store
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
  return { reader: store, open: () => leaseStore(store, ++epoch) }
}
