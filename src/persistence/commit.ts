import { channel } from 'node:diagnostics_channel'
import { isPerdureError, PerdureError, toMessage } from '../errors.ts'
import type { Operation, Store } from './store.ts'

/**
 * Gathers what all runs of the process want to write into one atomic, synced batch at a time: while one is being synced, the next
 * fills (group commit). A participant says what it writes only when the batch is cut, so that everything that happened to
 * it until then goes in together (P5).
 */
export interface Participant {
  /** What to write now. Throws when it cannot: then only this participant's commit fails. */
  readonly prepare: () => readonly Operation[]
  /** What `prepare` gave is on disk. Called before the next batch is cut. Must not throw. */
  readonly written?: () => void
}

export interface CommitOptions {
  /** It waits for what else this turn of the event loop brings, and is one batch with it. Default: false, it is written as soon as what is under way is. */
  readonly gather?: boolean | undefined
}

export interface Committer {
  /**
   * Resolves when a batch that holds the participant's changes up to now is on disk (P1). Asked again before that batch is cut, it
   * is the same batch; asked while it is being cut or written, the next. Errors: those of `Store.write`, what `prepare` threw, and
   * after a failed write `STORE_WRITE_FAILED`, always: what comes later may build on what was lost.
   */
  commit(participant: Participant, options?: CommitOptions): Promise<void>
  /** Whether something of the participant waits to be written, or is being written. */
  isPending(participant: Participant): boolean
  /** Resolves when what was cut up to now is on disk, or has failed. Never rejects. */
  settled(): Promise<void>
  /** Resolves when nothing is being written or waiting to be. Never rejects. */
  idle(): Promise<void>
  /** Aborts when a write has failed, with the error of every commit from then on: what only waits would not hear of it. */
  readonly failed: AbortSignal
}

/** What is told of a batch that is on disk to those who listen to the channel `perdure.commit`. */
export interface CommitFacts {
  /** Of the store, as `runtime.directory`. */
  readonly directory: string
  readonly operations: number
  /** Of keys, as text, and values, before the store compresses them. */
  readonly bytes: number
  readonly durationMs: number
}

const commits = channel('perdure.commit')

/** How many participants a batch holds at most: enough to share a sync, and few enough that one batch is prepared while another is written. */
const MAX_BATCH = 256

interface Batch {
  readonly operations: readonly Operation[]
  readonly prepared: (readonly [Participant, PromiseWithResolvers<void>])[]
}

export function createCommitter(store: Store, options: { readonly sync: boolean }): Committer {
  const waiting = new Map<Participant, PromiseWithResolvers<void>>()
  const writing = new Set<Participant>()
  let underWay: Promise<unknown> = Promise.resolve()
  let running: Promise<void> | undefined
  /** Whether somebody who waits does not want to gather more. */
  let isUrgent = false
  let hurry = (): void => {}
  let failure: PerdureError | undefined
  const failing = new AbortController()

  const toLatched = (error: unknown): PerdureError =>
    new PerdureError(
      'STORE_WRITE_FAILED',
      `An earlier write to ${store.location} failed (${toMessage(error)}), so nothing more is recorded. Close it and open it again; runs go on from what was recorded before.`,
      { cause: error, details: { directory: store.location } },
    )

  const write = async (operations: readonly Operation[]): Promise<void> => {
    try {
      if (operations.length === 0) return
      const startedAt = commits.hasSubscribers ? performance.now() : undefined
      await store.write(operations, { sync: options.sync })
      if (startedAt !== undefined)
        commits.publish({
          directory: store.location,
          operations: operations.length,
          bytes: operations.reduce((sum, { key, ...rest }) => sum + key.length + ('value' in rest ? rest.value.length : 0), 0),
          durationMs: performance.now() - startedAt,
        } satisfies CommitFacts)
    } catch (error) {
      failure = isPerdureError(error, 'STORE_FENCED') ? error : toLatched(error)
      failing.abort(failure)
      throw error
    }
  }

  /** Cuts a batch of those who wait and whose last batch is on disk; `undefined` when there is nobody. */
  const cut = (): Batch | undefined => {
    const operations: Operation[] = []
    const prepared: Batch['prepared'] = []
    let left = waiting.size // who asks while the batch is being cut has the next one
    for (const [participant, done] of waiting) {
      if (left-- === 0) break
      if (prepared.length === MAX_BATCH) break
      if (writing.has(participant)) continue
      waiting.delete(participant)
      try {
        if (failure !== undefined) throw failure
        for (const operation of participant.prepare()) operations.push(operation)
        prepared.push([participant, done])
        writing.add(participant)
      } catch (error) {
        done.reject(error)
      }
    }
    return prepared.length === 0 ? undefined : { operations, prepared }
  }

  const finish = async ({ operations, prepared }: Batch): Promise<void> => {
    try {
      await write(operations)
      for (const [participant, done] of prepared) {
        writing.delete(participant)
        try {
          participant.written?.()
          done.resolve()
        } catch (error) {
          done.reject(error) // it is on disk all the same, and the others' is too
        }
      }
    } catch (error) {
      for (const [participant, done] of prepared) {
        writing.delete(participant)
        done.reject(error)
      }
    }
  }

  const gather = (): Promise<void> =>
    new Promise((resolve) => {
      hurry = resolve
      setImmediate(resolve)
    })

  const flush = async (): Promise<void> => {
    // One turn of the microtask queue lets what was started together be written together.
    await undefined
    let before: Promise<void> | undefined
    for (;;) {
      // While a batch is being written the next one fills. A full one is prepared meanwhile: it would only get longer.
      if (waiting.size < MAX_BATCH) {
        await before
        if (!isUrgent && waiting.size > 0) await gather()
      }
      isUrgent = false
      const batch = cut()
      if (batch === undefined && before === undefined && waiting.size === 0) break
      const finished = batch === undefined ? undefined : finish(batch)
      underWay = Promise.all([before, finished])
      await before
      before = finished
    }
    running = undefined
  }

  return {
    failed: failing.signal,
    commit(participant, { gather: isPatient = false } = {}) {
      let done = waiting.get(participant)
      if (done === undefined) {
        done = Promise.withResolvers<void>()
        waiting.set(participant, done)
        // Whoever asked may have gone by the time it fails; those who stay hear of it through their own `await`.
        done.promise.catch(() => {})
        running ??= flush()
      }
      if (!isPatient) {
        isUrgent = true
        hurry()
      }
      return done.promise
    },
    async settled() {
      await underWay
    },
    isPending: (participant) => waiting.has(participant) || writing.has(participant),
    async idle() {
      while (running !== undefined) await running
    },
  }
}
