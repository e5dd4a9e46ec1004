import { unlockStore } from '../../persistence/encrypted-store.ts'
import type { Store } from '../../persistence/store.ts'
import type { StoreReader } from './records.ts'

/** Reads what a store holds that was opened with one of `keys`: none, if it is not encrypted. What opening it would change stays as it is. */
export async function unlockReader(reader: StoreReader, keys: Iterable<Uint8Array>): Promise<StoreReader> {
  const [key, ...previousKeys] = keys
  if (key === undefined) return reader
  const nothing = async (): Promise<void> => {}
  const store: Store = {
    location: 'explored',
    epoch: 0,
    get: (at) => reader.get(at),
    getMany: (all) => reader.getMany(all),
    entries: (range) => reader.entries(range),
    write: nothing,
    compact: nothing,
    close: nothing,
    [Symbol.asyncDispose]: nothing,
  }
  return unlockStore(store, { key, previousKeys })
}
