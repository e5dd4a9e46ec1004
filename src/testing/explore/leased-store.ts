import { PerdureError } from '../../errors.ts'
import type { Store } from '../../persistence/store.ts'

/** An opening of `store` that can be closed without closing it: what it holds is read by others afterwards. */
export function leaseStore(store: Store, epoch: number): Store {
  let isClosed = false
  const leased = (): Store => {
    if (isClosed) throw new PerdureError('STORE_CLOSED', 'The runtime of this life is closed, and its store with it.')
    return store
  }
  const close = async (): Promise<void> => {
    isClosed = true
  }
  return {
    location: store.location,
    epoch,
    get: async (key) => leased().get(key),
    getMany: async (keys) => leased().getMany(keys),
    entries: (range) => leased().entries(range),
    write: async (operations, options) => leased().write(operations, options),
    compact: async (range) => leased().compact(range),
    close,
    [Symbol.asyncDispose]: close,
  }
}
