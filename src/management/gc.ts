import { isAbsolute } from 'node:path'
import { isPerdureError } from '../errors.ts'
import {
  endedKey,
  headKey,
  inboxRange,
  recordRange,
  stepKey,
  stepRange,
  toQuestion,
  toStep,
  wakeKey,
} from '../persistence/keys.ts'
import { createRetention, type RetentionPolicy } from '../persistence/retention.ts'
import { eraseRun, isBeingDeleted } from '../persistence/run-deletion.ts'
import { loadHead, loadHeads } from '../persistence/run-log.ts'
import { parseStep } from '../persistence/run-record.ts'
import type { Operation, Store } from '../persistence/store.ts'
import { createRunFiles, createRunFolders, toFolderName } from '../runtime/run-files.ts'
import { readDiskUsage } from './disk-usage.ts'
import type { Finding } from './finding.ts'
import { verifyStore } from './verify.ts'

/** What was removed. */
export interface Collected {
  /** Runs that had come to their end and that the policy does not keep. */
  readonly runs: number
  /** Runs without a head of which records were left, or whose deletion was cut off. */
  readonly remains: number
  /** Entries of indexes that led to nothing. */
  readonly indexEntries: number
  /** Folders of commands that have settled, or whose run is gone. */
  readonly folders: number
  /**
   * How many findings of `verify` cost a run or what cannot be told. If there are any, only runs and folders are removed and no space is given back: what seems to lead to nothing may belong to what cannot be
   * read, and rewriting the files would lose what may still be saved from them.
   */
  readonly damaged: number
  /** Bytes on disk, before and after. */
  readonly before: number
  readonly after: number
}

export interface GcRoom {
  readonly store: Store
  /** Takes a run until what is returned is called. Errors: `RUN_CONFLICT`: it is in use, and left as it is. */
  readonly claim: (run: string) => () => void
  readonly now: () => number
}

/** Removes what nobody needs any more, and gives the space back to the disk. Each removal is safe to interrupt. Errors: a `TypeError` for a policy that is none, those of `Store`. */
export async function collectGarbage(room: GcRoom, policy: RetentionPolicy = {}): Promise<Collected> {
  const { store, claim, now } = room
  const { location } = store
  const before = await toBytes(location)
  const files = isAbsolute(location) ? createRunFiles(location) : undefined
  const retention = createRetention({ store, policy, now, claim, beforeErasing: async (run) => files?.remove(run) })
  const { deleted: runs } = Object.keys(policy).length === 0 ? { deleted: 0 } : await retention.sweep()
  await retention.close()
  const folders = isAbsolute(location) ? await removeFolders(room) : 0
  const removable: Finding[] = []
  let damaged = 0
  for await (const finding of verifyStore(store)) {
    if (finding.costs === 'run' || finding.costs === 'unknown') damaged += 1
    if (finding.isRemovable) removable.push(finding)
  }
  let remains = 0
  let indexEntries = 0
  if (damaged === 0) {
    for (const finding of removable)
      if (finding.kind === 'indexStale') indexEntries += await removeStale(room, finding)
      else remains += await removeRemains(room, finding)
    await store.compact()
  }
  return { runs, remains, indexEntries, folders, damaged, before, after: await toBytes(location) }
}

const toBytes = async (location: string): Promise<number> => {
  const { database, files } = await readDiskUsage(location)
  return database + files
}

/** Does something with a run that nobody has open. 0: somebody has. */
async function claimed({ claim }: GcRoom, run: string, task: () => Promise<number>): Promise<number> {
  let release: () => void
  try {
    release = claim(run)
  } catch (error) {
    if (isPerdureError(error, 'RUN_CONFLICT')) return 0
    throw error
  }
  try {
    return await task()
  } finally {
    release()
  }
}

const BATCH = 1_000

/** It may have begun anew since it was found. */
const removeRemains = (room: GcRoom, { run = '', key }: Finding): Promise<number> =>
  claimed(room, run, async () => {
    const { store } = room
    if (await isBeingDeleted(store, run)) return Math.min(1, (await eraseRun(store, run)).records)
    if ((await store.get(headKey(run))) !== undefined) return 0
    let batch: Operation[] = key === undefined ? [] : [{ type: 'del', key }] // perhaps its key, which is in no range
    // Not as a run is deleted: those that say that they belong to it stay.
    for (const range of [recordRange(run), inboxRange(run)])
      for await (const [key] of store.entries(range)) {
        batch.push({ type: 'del', key })
        if (batch.length < BATCH) continue
        await store.write(batch)
        batch = []
      }
    await store.write(batch)
    return 1
  })

const removeStale = (room: GcRoom, { run = '', key = '' }: Finding): Promise<number> =>
  claimed(room, run, async () => {
    if (await isInPlace(room.store, run, key)) return 0
    await room.store.write([{ type: 'del', key }])
    return 1
  })

/** Whether an entry of an index is by now where it should be. */
async function isInPlace(store: Store, run: string, key: string): Promise<boolean> {
  const head = await loadHead(store, run)
  if (head === undefined) return false
  if (!key.startsWith('q/'))
    return [
      head.wakeAt !== undefined && wakeKey(head.wakeAt, run),
      head.endedAt !== undefined && endedKey(head.endedAt, run),
    ].includes(key)
  const place = stepKey(run, toQuestion(key).step)
  const bytes = await store.get(place)
  return bytes !== undefined && parseStep(run, place, bytes).status === 'intended'
}

/** The folders of runs that there are not, and of steps that have settled. They are listed first: what gets one later is on disk before. */
async function removeFolders(room: GcRoom): Promise<number> {
  const { store } = room
  const folders = createRunFolders(store.location)
  const found = await folders.list()
  let removed = 0
  if (found.size === 0) return removed
  for await (const head of loadHeads(store)) {
    const run = isPerdureError(head) ? String(head.details.run) : head.id
    const name = toFolderName(run)
    const steps = found.get(name)
    found.delete(name)
    if (steps === undefined || isPerdureError(head)) continue
    removed += await claimed(room, run, async () => {
      const open = await readOpenSteps(store, run)
      const over = open === undefined ? [] : steps.filter((step) => !open.has(step))
      for (const step of over) await folders.remove(name, step)
      return over.length
    })
  }
  for (const run of found.keys()) await folders.remove(run)
  return removed + found.size
}

/** The folders of the steps of a run that are under way, or will be tried again; undefined: that cannot be read. */
async function readOpenSteps(store: Store, run: string): Promise<ReadonlySet<string> | undefined> {
  const open = new Set<string>()
  try {
    for await (const [key, bytes] of store.entries(stepRange(run))) {
      const { status, retryAt } = parseStep(run, key, bytes)
      if (status === 'intended' || retryAt !== undefined) open.add(toFolderName(toStep(run, key)))
    }
    return open
  } catch (error) {
    if (isPerdureError(error, 'RUN_CORRUPT') || isPerdureError(error, 'STORE_FORMAT_NEWER')) return undefined
    throw error
  }
}
