/**
 * Deleting a run: all of its records, its messages and its places in the indexes, and for a flow the conversations that it had.
 *
 * 1. A run is there as a whole or, as soon as its first record goes, not at all: a small one goes in one atomic batch; of a larger one the
 *    first batch removes the head and what leads to it, and leaves a mark (`x/<run>`).
 * 2. While the mark is there, something of the run may be. The last batch takes the rest and the mark; {@link resumeDeletions} finishes
 *    what a crash left over. It has to be called before runs are started: one that began anew under that id would lose its records.
 * 3. Every batch is synced: a later one on disk without an earlier one would leave records that nothing leads to.
 * 4. What forks need of its snapshot stays, until the last of them goes (`pins.ts`).
 */
import { isPerdureError, PerdureError } from '../errors.ts'
import { encodeRecord, readChecksum } from './codec.ts'
import {
  assertRunId,
  deletionKey,
  deletionRange,
  endedKey,
  endedRange,
  headKey,
  headsWithin,
  inboxRange,
  questionRange,
  recordRange,
  toDeletion,
  toEnded,
  toRunId,
  toWake,
  wakeKey,
  wakeRange,
} from './keys.ts'
import { loadPins, pinsOf } from './pins.ts'
import { type Head, parseHead } from './run-record.ts'
import { findNamedSteps } from './snapshot-chain.ts'
import type { Operation, Store } from './store.ts'

export interface DeletionOptions {
  /** Ends a large deletion between two batches with `ABORTED`; what is left of it is up to {@link resumeDeletions}. */
  readonly signal?: AbortSignal | undefined
  /** The most records that one batch removes. Default: 1,000. */
  readonly batchSize?: number | undefined
  /** Called for the run, and for each that belongs to it, before their records go: what they have elsewhere goes first. */
  readonly beforeErasing?: ((run: string) => Promise<void>) | undefined
}

/** What was removed. `bytes`: of the values, before LevelDB compresses them. */
export interface Erased {
  readonly records: number
  readonly bytes: number
}

/** A record that goes. `kept`: it is put there instead, for forks name it. */
type Entry = readonly [key: string, bytes: number, kept?: Operation]

/**
 * Removes all records of a run, which nobody may have open. A run whose head is damaged can be deleted too.
 *
 * When it resolves, nothing of the run is on disk. If the process dies in the middle, either the run is untouched, or it is gone and the rest
 * of its records follow at the next opening.
 *
 * @returns false: there was none.
 * Errors: `RUN_ID_INVALID`, `ABORTED`, `STORE_FORMAT_NEWER` (nothing was removed), those of `Store`.
 */
export async function deleteRun(store: Store, run: string, options: DeletionOptions = {}): Promise<boolean> {
  return (await eraseRun(store, run, options)).records > 0
}

/** {@link deleteRun}, and how much it was. */
export async function eraseRun(store: Store, run: string, options: DeletionOptions = {}): Promise<Erased> {
  assertRunId(run)
  assertNotAborted(run, options)
  const pins = await loadPins(store)
  const erased = await pins.exclusive(() => erase(store, run, options))
  await pins.collect()
  return erased
}

async function erase(store: Store, run: string, options: DeletionOptions): Promise<Erased> {
  await options.beforeErasing?.(run)
  if (await isBeingDeleted(store, run)) return await finish(store, run, options)
  if (options.beforeErasing !== undefined)
    for await (const conversation of allConversationsOf(store, run)) await options.beforeErasing(conversation)
  const { batchSize = 1_000 } = options
  const all: Entry[] = []
  for await (const entry of entriesOf(store, run)) {
    all.push(entry)
    if (all.length <= batchSize) continue
    for await (const _ of conversationsOf(store, run)); // One of a newer version is refused before anything is removed.
    const first = await readTop(store, run)
    const mark = deletionKey(run)
    await remove(store, first, [{ type: 'put', key: mark, value: encodeRecord(mark, null) }])
    return sum(sumOf(first), await finish(store, run, options))
  }
  await remove(store, all)
  return sumOf(all)
}

/** Whether a deletion of the run was begun and not finished: the id must not be taken yet. */
export async function isBeingDeleted(store: Store, run: string): Promise<boolean> {
  return (await store.get(deletionKey(run))) !== undefined
}

/**
 * Finishes the deletions that a crash interrupted. Call it before anything else is done with the runs of a store.
 *
 * @returns how many there were. Errors: `ABORTED`, those of `Store`.
 */
export async function resumeDeletions(store: Store, options: DeletionOptions = {}): Promise<number> {
  const pins = await loadPins(store)
  let count = 0
  for await (const [key] of store.entries(deletionRange())) {
    await finish(store, toDeletion(key), options)
    count += 1
  }
  await pins.collect()
  return count
}

/** The bytes of all values of a run, and of its conversations if it is a flow. Errors: `STORE_FORMAT_NEWER`, those of `Store`. */
export async function measureRun(store: Store, run: string): Promise<number> {
  await loadPins(store)
  let total = 0
  for await (const [, bytes] of entriesOf(store, run)) total += bytes
  return total
}

/** Removes what a marked run has left, and the mark. */
async function finish(store: Store, run: string, options: DeletionOptions): Promise<Erased> {
  const { batchSize = 1_000 } = options
  let erased: Erased = { records: 0, bytes: 0 }
  for await (const conversation of conversationsOf(store, run)) {
    erased = sum(erased, await erase(store, conversation, options))
  }
  let batch: Entry[] = []
  for await (const entry of bodyOf(store, run)) {
    if (batch.length >= batchSize) {
      assertNotAborted(run, options)
      await remove(store, batch)
      erased = sum(erased, sumOf(batch))
      batch = []
    }
    batch.push(entry)
  }
  assertNotAborted(run, options)
  await remove(store, batch, [{ type: 'del', key: deletionKey(run) }])
  return sum(erased, sumOf(batch))
}

async function* entriesOf(store: Store, run: string): AsyncIterable<Entry> {
  yield* await readTop(store, run)
  for await (const conversation of conversationsOf(store, run)) yield* entriesOf(store, conversation)
  yield* bodyOf(store, run)
}

/** The head and what leads to it. */
async function readTop(store: Store, run: string): Promise<Entry[]> {
  const key = headKey(run)
  const bytes = await store.get(key)
  if (bytes === undefined) return []
  const top: Entry[] = [[key, bytes.byteLength]]
  const head = toHead(run, key, bytes)
  const places: string[] = []
  if (head?.wakeAt !== undefined) places.push(wakeKey(head.wakeAt, run))
  if (head?.endedAt !== undefined) places.push(endedKey(head.endedAt, run))
  if (head === undefined) {
    // Unreadable, so it does not say where in the indexes the run is.
    for await (const [place] of store.entries(wakeRange())) if (toWake(place).run === run) places.push(place)
    for await (const [place] of store.entries(endedRange())) if (toEnded(place).run === run) places.push(place)
  }
  const found = await store.getMany(places)
  for (const [index, place] of places.entries()) top.push([place, found[index]?.byteLength ?? 0])
  return top
}

async function* bodyOf(store: Store, run: string): AsyncIterable<Entry> {
  const pins = pinsOf(store)
  const named = pins.last(run) === 0 ? undefined : await findNamedSteps(store, run, (key) => pins.isNeeded(key, run))
  for (const range of [recordRange(run), inboxRange(run), questionRange(run)]) {
    for await (const [key, value] of store.entries(range)) {
      if (pins.isNeeded(key, run)) continue
      const kept = named?.get(key)
      if (kept !== undefined && kept.checksum === readChecksum(value))
        yield [key, value.byteLength, { type: 'put', key: kept.key, value }]
      else yield [key, value.byteLength]
    }
  }
}

/** Removes records; and with the base of a fork its claim to what it took. */
async function remove(store: Store, entries: readonly Entry[], others: readonly Operation[] = []): Promise<void> {
  const pins = pinsOf(store)
  const removals = entries.map(([key]): Operation => ({ type: 'del', key }))
  const kept = entries.flatMap(([, , operation]) => operation ?? [])
  await store.write([...others, ...removals, ...kept, ...pins.toReleases(removals)])
  pins.noteWritten(removals)
}

/**
 * The conversations that belong to a run, such as `<flow>/<agent>`: those that say so. One whose head cannot be read does not: it stays, and
 * can be deleted by its own id.
 */
async function* conversationsOf(store: Store, run: string): AsyncIterable<string> {
  for await (const [key, bytes] of store.entries(headsWithin(run))) {
    const id = toRunId(key)
    const head = toHead(id, key, bytes)
    if (head?.kind === 'agent' && isOwnedBy(run, head)) yield id
  }
}

async function* allConversationsOf(store: Store, run: string): AsyncIterable<string> {
  for await (const conversation of conversationsOf(store, run)) {
    yield conversation
    yield* allConversationsOf(store, conversation)
  }
}

/** Whether a conversation belongs to `run`, and goes with it. */
export function isOwnedBy(run: string, { id, name, data }: Head): boolean {
  if (typeof data !== 'object' || data === null) return false
  if ('parent' in data && data.parent !== undefined) return data.parent === run
  return 'owner' in data && data.owner === 'flow' && id === `${run}/${name}` // as earlier versions wrote it
}

/** `undefined`: it is damaged. Errors: `STORE_FORMAT_NEWER`: who wrote it may have put records where this version does not look. */
function toHead(run: string, key: string, bytes: Uint8Array): Head | undefined {
  try {
    return parseHead(run, key, bytes)
  } catch (error) {
    if (isPerdureError(error, 'RUN_CORRUPT')) return undefined
    throw error
  }
}

function assertNotAborted(run: string, { signal }: DeletionOptions): void {
  if (signal?.aborted !== true) return
  throw new PerdureError(
    'ABORTED',
    `Deleting the run \`${run}\` was interrupted. If it had begun, the next opening finishes it.`,
    {
      cause: signal.reason,
      details: { run },
    },
  )
}

const sumOf = (entries: readonly Entry[]): Erased => ({
  records: entries.length,
  bytes: entries.reduce((total, [, bytes]) => total + bytes, 0),
})
const sum = (one: Erased, other: Erased): Erased => ({ records: one.records + other.records, bytes: one.bytes + other.bytes })
