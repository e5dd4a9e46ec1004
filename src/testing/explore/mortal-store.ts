import type { Operation, Store } from '../../persistence/store.ts'
import type { Death } from './death.ts'
import type { Pulse } from './pulse.ts'
import type { WriteDeath } from './schedule.ts'

/** The store of one life, which dies at one of its writes. */
export interface MortalStore extends Store {
  /** How many writes were begun. */
  readonly writes: number
  /** A write is held back: once everything that does not wait for it has come to rest, the life is to end. */
  readonly isHeld: boolean
}

/** Without `fate` it counts only. */
export function createMortalStore(store: Store, death: Death, pulse: Pulse, fate?: WriteDeath): MortalStore {
  let writes = 0
  let isHeld = false
  const never = new Promise<never>(() => {})
  const watched = async <T>(operation: () => Promise<T>): Promise<T> => {
    if (death.isDead) return never
    const end = pulse.begin()
    try {
      return await death.mortal(operation())
    } finally {
      end()
    }
  }
  const write = async (operations: readonly Operation[], options?: { readonly sync?: boolean }): Promise<void> => {
    if (isHeld) return never
    if (operations.length === 0) return watched(() => store.write(operations, options))
    writes++
    if (writes !== fate?.write)
      return watched(() => nextTurn().then(() => (death.isDead ? never : store.write(operations, options))))
    pulse.beat()
    if (fate.when === 'before') isHeld = true
    else await watched(() => store.write(operations, options).then(() => death.die()))
    return never
  }
  async function* entries(range: Parameters<Store['entries']>[0]): AsyncGenerator<readonly [string, Uint8Array], void, void> {
    const iterator = store.entries(range)[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await watched(() => iterator.next())
        if (next.done === true) return
        yield next.value
      }
    } finally {
      await iterator.return?.()
    }
  }
  const close = (): Promise<void> => watched(() => store.close())
  return {
    location: store.location,
    epoch: store.epoch,
    get writes() {
      return writes
    },
    get isHeld() {
      return isHeld
    },
    get: (key) => watched(() => store.get(key)),
    getMany: (keys) => watched(() => store.getMany(keys)),
    entries: (range) => ({ [Symbol.asyncIterator]: () => entries(range) }),
    write,
    compact: (range) => watched(() => store.compact(range)),
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** A write takes its time: what does not wait for it goes on meanwhile. */
const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
