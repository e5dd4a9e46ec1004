import type { Store } from '../../../src/persistence/store.ts'

/**
 * When the world ends: `before` a write (it never reaches the disk), `lost` (it does, and nobody hears of it), `after` it (the runtime hears
 * of it, and of nothing else).
 */
export type Moment = 'before' | 'lost' | 'after'

/** A store of a process that dies at a write: from then on it answers nothing. */
export interface MortalStore extends Store {
  /** Rejects with {@link Death}. */
  readonly death: Promise<never>
}

export class Death extends Error {}

export function toMortalStore(store: Store, dieAt: number, moment: Moment): MortalStore {
  const death = Promise.withResolvers<never>()
  death.promise.catch(() => {})
  const forever = new Promise<never>(() => {})
  let writes = 0
  let isDead = false
  const die = (): Promise<never> => {
    isDead = true
    // What was acknowledged before it, and what follows from it in memory, still happens.
    setImmediate(() => death.reject(new Death()))
    return forever
  }
  const unlessDead = <T>(answer: () => Promise<T>): Promise<T> =>
    isDead ? forever : answer().then((value) => (isDead ? forever : value))
  return {
    location: store.location,
    epoch: store.epoch,
    death: death.promise,
    get: (key) => unlessDead(() => store.get(key)),
    getMany: (keys) => unlessDead(() => store.getMany(keys)),
    async *entries(range) {
      if (isDead) await forever
      for await (const entry of store.entries(range)) yield await unlessDead(async () => entry)
    },
    async write(operations, options) {
      if (isDead) return forever
      writes++
      if (writes !== dieAt) return store.write(operations, options)
      if (moment === 'before') return die()
      isDead = true
      await store.write(operations, options)
      const ended = die()
      return moment === 'after' ? undefined : ended
    },
    compact: () => unlessDead(() => store.compact()),
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  }
}
