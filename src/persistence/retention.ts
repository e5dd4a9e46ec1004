import { isPerdureError } from '../errors.ts'
import { decodeRecord, encodeRecord } from './codec.ts'
import { allRecords, endedKey, endedRange, headKey, toEnded } from './keys.ts'
import { eraseRun, measureRun } from './run-deletion.ts'
import { parseHead } from './run-record.ts'
import type { Operation, Store } from './store.ts'

/** How many runs that came to their end are kept. The oldest end goes first; a run that has not ended is never removed. Default: all. */
export interface RetentionPolicy {
  /** A run that ended longer ago is removed. */
  readonly maxAgeMs?: number | undefined
  /** How many ended runs are kept. */
  readonly maxRuns?: number | undefined
  /** How many bytes the ended runs that are kept may have together, as they are before LevelDB compresses them. */
  readonly maxBytes?: number | undefined
}

/** Removes runs, also by policy, and gives their space back to the disk. */
export interface Retention {
  /**
   * Removes what the policy does not keep, run by run. Called while it is under way, it is the same sweep. Ended by {@link Retention.close}, it
   * resolves with what it had done. Errors: those of `Store`.
   */
  sweep(): Promise<{ readonly deleted: number }>
  /** Removes a run that the caller has claimed. False: there was none. Errors: those of `deleteRun`. */
  erase(run: string): Promise<boolean>
  /** Ends what is under way between two batches, and waits for that. The store may be closed then. */
  close(): Promise<void>
}

export interface RetentionOptions {
  readonly store: Store
  readonly policy: RetentionPolicy
  readonly now: () => number
  /** Takes a run until what is returned is called; throws `RUN_CONFLICT` while somebody has it: it is left for a later sweep. */
  readonly claim: (run: string) => () => void
  /** Called before the records of a run, or of one that belongs to it, are removed. */
  readonly beforeErasing?: ((run: string) => Promise<void>) | undefined
  /** A sweep removed it. */
  readonly onDeleted?: ((run: string) => void) | undefined
  /** A run could not be removed, and the sweep went on; without `run`: space could not be given back. Default: nobody hears of it. */
  readonly onError?: ((error: unknown, run?: string) => void) | undefined
  /** After how many removed bytes their space is given back. Default: 64 MB. */
  readonly compactBytes?: number | undefined
}

/** How many index entries are in memory at once. */
const SLICE = 256
const limits = ['maxAgeMs', 'maxRuns', 'maxBytes'] as const // `as const`: the keys of the policy

/** Errors: `TypeError`. */
export function assertRetentionPolicy(policy: unknown): asserts policy is RetentionPolicy {
  if (typeof policy !== 'object' || policy === null)
    throw new TypeError(`Expected \`retention\` to be an object, got \`${String(policy)}\` (${typeof policy})`)
  for (const [name, value] of Object.entries(policy)) {
    if (!limits.some((limit) => limit === name))
      throw new TypeError(
        `Expected \`retention\` to have no keys but ${limits.map((limit) => `\`${limit}\``).join(', ')}, got \`${name}\``,
      )
    if (value === undefined || (Number.isSafeInteger(value) && value >= 0)) continue
    throw new TypeError(`Expected \`retention.${name}\` to be an integer ≥ 0, got \`${String(value)}\` (${typeof value})`)
  }
}

export function createRetention(options: RetentionOptions): Retention {
  const { store, policy, now, claim, onDeleted, onError, beforeErasing, compactBytes = 64 * 1024 * 1024 } = options
  assertRetentionPolicy(policy)
  const closing = new AbortController()
  const erasing = new Set<Promise<unknown>>()
  let sweeping: Promise<{ readonly deleted: number }> | undefined
  let compacting: Promise<void> | undefined
  let freed = 0

  const erase = async (run: string): Promise<boolean> => {
    const { records, bytes } = await eraseRun(store, run, { signal: closing.signal, beforeErasing })
    freed += bytes
    return records > 0
  }

  /** Gives back the space of what was removed, once that is worth reading and writing what is kept. */
  const reclaim = (): Promise<void> => {
    if (compacting !== undefined || freed < compactBytes || closing.signal.aborted) return compacting ?? Promise.resolve()
    freed = 0
    compacting = store
      .compact(allRecords())
      .catch((error: unknown) => onError?.(error))
      .finally(() => {
        compacting = undefined
      })
    return compacting
  }

  /** `undefined`: a newer version wrote it. It is no reason to remove others. */
  const measure = async (run: string): Promise<number | undefined> => {
    try {
      return await measureRun(store, run)
    } catch (error) {
      if (!isPerdureError(error, 'STORE_FORMAT_NEWER')) throw error
      onError?.(error, run)
      return undefined
    }
  }

  /** Where in the index what is kept begins. */
  const findKept = async (): Promise<string> => {
    const { maxAgeMs, maxRuns = Number.POSITIVE_INFINITY, maxBytes = Number.POSITIVE_INFINITY } = policy
    const { gte, lt } = endedRange()
    const old = maxAgeMs === undefined ? gte : endedRange(now() - maxAgeMs - 1).lt
    if (maxRuns === Number.POSITIVE_INFINITY && maxBytes === Number.POSITIVE_INFINITY) return old
    let runs = 0
    let bytes = 0
    let kept = lt
    for (;;) {
      const slice = await readSlice(store, { gte: old, lt: kept, reverse: true })
      const sizes = new Map<string, number>()
      let isFull = false
      for (const [key, value] of slice) {
        if (closing.signal.aborted) return gte
        if (maxBytes !== Number.POSITIVE_INFINITY) {
          const known = toKnownBytes(key, value)
          const size = known ?? (await measure(toEnded(key).run))
          if (known === undefined && size !== undefined) sizes.set(key, size)
          bytes += size ?? 0
        }
        runs += 1
        isFull = runs > maxRuns || bytes > maxBytes
        if (isFull) break
        kept = key
      }
      await noteSizes(store, sizes)
      if (isFull) return kept
      if (slice.length < SLICE) return old
      await yieldToOthers()
    }
  }

  /** True: it was removed. */
  const remove = async (key: string): Promise<boolean> => {
    const { run } = toEnded(key)
    let release: (() => void) | undefined
    try {
      release = claim(run)
      const bytes = await store.get(headKey(run))
      const endedAt = bytes === undefined ? undefined : parseHead(run, headKey(run), bytes).endedAt
      if (endedAt === undefined || endedKey(endedAt, run) !== key) {
        // It went on since, or ended again at another time: the note of its size came after that.
        await store.write([{ type: 'del', key }])
        return false
      }
      return await erase(run)
    } catch (error) {
      if (release === undefined && isPerdureError(error, 'RUN_CONFLICT')) return false
      if (!isPerdureError(error, 'RUN_CORRUPT') && !isPerdureError(error, 'STORE_FORMAT_NEWER')) throw error
      onError?.(error, run)
      return false
    } finally {
      release?.()
    }
  }

  const sweep = async (): Promise<{ readonly deleted: number }> => {
    let deleted = 0
    try {
      const lt = await findKept()
      let { gte } = endedRange()
      while (!closing.signal.aborted) {
        const slice = await readSlice(store, { gte, lt })
        for (const [key] of slice) {
          if (closing.signal.aborted) break
          if (await remove(key)) {
            deleted += 1
            onDeleted?.(toEnded(key).run)
          }
          await yieldToOthers()
        }
        if (slice.length < SLICE) break
        gte = `${slice.at(-1)?.[0] ?? lt}\0`
      }
    } catch (error) {
      if (!closing.signal.aborted || !isPerdureError(error, 'ABORTED')) throw error
    }
    await reclaim()
    return { deleted }
  }

  return {
    sweep() {
      if (closing.signal.aborted) return Promise.resolve({ deleted: 0 })
      sweeping ??= sweep().finally(() => {
        sweeping = undefined
      })
      return sweeping
    },
    erase(run) {
      const erased = erase(run).finally(() => {
        erasing.delete(erased)
        void reclaim()
      })
      erasing.add(erased)
      return erased
    },
    async close() {
      closing.abort()
      await Promise.allSettled([sweeping, ...erasing]) // Whoever asked for it has the error.
      await compacting
    },
  }
}

async function readSlice(
  store: Store,
  range: { readonly gte: string; readonly lt: string; readonly reverse?: boolean },
): Promise<(readonly [key: string, value: Uint8Array])[]> {
  const slice: (readonly [string, Uint8Array])[] = []
  for await (const entry of store.entries({ ...range, limit: SLICE })) slice.push(entry)
  return slice
}

/** Only for the next sweep: it need not survive a power cut. */
async function noteSizes(store: Store, sizes: ReadonlyMap<string, number>): Promise<void> {
  if (sizes.size === 0) return
  const keys = [...sizes.keys()]
  const found = await store.getMany(keys) // one that was deleted meanwhile gets no note
  const notes = keys
    .filter((_, index) => found[index] !== undefined)
    .map((key): Operation => ({ type: 'put', key, value: encodeRecord(key, { bytes: sizes.get(key) }) }))
  await store.write(notes, { sync: false })
}

/** What an earlier sweep noted: a run that has ended does not change. */
function toKnownBytes(key: string, value: Uint8Array): number | undefined {
  try {
    const note = decodeRecord(key, value)
    const isNote = typeof note === 'object' && note !== null && 'bytes' in note && typeof note.bytes === 'number'
    return isNote ? (note.bytes as number) : undefined // checked in the line above
  } catch (error) {
    if (isPerdureError(error)) return undefined // measured again
    throw error
  }
}

/** Timers, I/O and the runs themselves come first. */
const yieldToOthers = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
