import { PerdureError, toMessage } from '../errors.ts'
import type { Operation, Store } from './store.ts'

/**
 * Gathers what all runs of the process want to write into one atomic, synced batch at a time: while one is being synced, the next
 * fills (group commit, DESIGN 4). A participant says what it writes only when the batch is cut, so that everything that happened to
 * it until then goes in together (P5).
 */
export interface Participant {
  /** What to write now. Throws when it cannot: then only this participant's commit fails. */
  readonly prepare: () => readonly Operation[]
}

export interface Committer {
  /**
   * Resolves when a batch that holds the participant's changes up to now is on disk (P1). Asked again before that batch is cut, it
   * is the same batch; asked while it is being cut or written, the next. Errors: those of `Store.write`, what `prepare` threw, and
   * after a failed write `STORE_WRITE_FAILED`, always: what comes later may build on what was lost.
   */
  commit(participant: Participant): Promise<void>
  /** Resolves when nothing is being written or waiting to be. Never rejects. */
  idle(): Promise<void>
}

export function createCommitter(store: Store, options: { readonly sync: boolean }): Committer {
  let waiting = new Map<Participant, PromiseWithResolvers<void>>()
  let running: Promise<void> | undefined
  let failure: PerdureError | undefined

  const write = async (operations: readonly Operation[]): Promise<void> => {
    try {
      if (operations.length > 0) await store.write(operations, { sync: options.sync })
    } catch (error) {
      failure = new PerdureError(
        'STORE_WRITE_FAILED',
        `An earlier write to ${store.location} failed (${toMessage(error)}), so nothing more is recorded. Close it and open it again; runs go on from what was recorded before.`,
        { cause: error, details: { directory: store.location } },
      )
      throw error
    }
  }

  const flush = async (): Promise<void> => {
    // One turn of the microtask queue lets what was started together be written together.
    await undefined
    while (waiting.size > 0) {
      const batch = waiting
      waiting = new Map()
      const operations: Operation[] = []
      const prepared: PromiseWithResolvers<void>[] = []
      for (const [participant, done] of batch) {
        try {
          if (failure !== undefined) throw failure
          for (const operation of participant.prepare()) operations.push(operation)
          prepared.push(done)
        } catch (error) {
          done.reject(error)
        }
      }
      try {
        await write(operations)
        for (const done of prepared) done.resolve()
      } catch (error) {
        for (const done of prepared) done.reject(error)
      }
    }
    running = undefined
  }

  return {
    commit(participant) {
      let done = waiting.get(participant)
      if (done === undefined) {
        done = Promise.withResolvers<void>()
        waiting.set(participant, done)
        // Whoever asked may have gone by the time it fails; those who stay hear of it through their own `await`.
        done.promise.catch(() => {})
        running ??= flush()
      }
      return done.promise
    },
    async idle() {
      while (running !== undefined) await running
    },
  }
}
