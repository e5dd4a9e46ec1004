import { isDeepStrictEqual } from 'node:util'
import { PerdureError } from '../errors.ts'
import { assertRunId } from './keys.ts'
import { loadPins, type Pin, type Pins } from './pins.ts'
import { isBeingDeleted } from './run-deletion.ts'
import { createRunLog, type Head, loadHead, type Room, type StepRecord } from './run-log.ts'
import { readList } from './snapshot-chain.ts'
import { createForkedLog, createSnapshotLog, loadSnapshotLog, type SnapshotLog } from './snapshots.ts'
import type { Store } from './store.ts'

/** What a fork begins with. */
export interface Beginning {
  readonly data: unknown
  readonly status: Head['status']
  /** Its journal. */
  readonly steps: readonly (readonly [key: string, record: StepRecord])[]
  /** What it takes of the origin's snapshot: the first `length` items of the list at `path`; without, all. */
  readonly path: readonly string[]
  readonly length: number | undefined
  /** Its snapshot, in which `list`, or one that begins with its items, is in its place. */
  readonly toSnapshot: (list: readonly unknown[]) => unknown
}

/** How often it may happen that the origin goes on while it is read. */
const MAX_TRIES = 100

/**
 * Creates the run `id`, which begins with a part of another's snapshot. What it takes is not copied, and nothing of the origin is written. `begin` reads what else is
 * needed of the origin as its head tells; it is called again if the origin has gone on meanwhile. One batch: the fork is there as a whole or not at all.
 *
 * @returns false: there is no such origin. Errors: `RUN_CONFLICT` (there is a run `id`), `RUN_ID_INVALID`, those of `begin`, `RUN_CORRUPT`, `STORE_FORMAT_NEWER`, those of `Store`.
 */
export async function forkRun(
  room: Room,
  origin: string,
  id: string,
  begin: (head: Head) => Promise<Beginning>,
): Promise<boolean> {
  const { store, committer } = room
  assertRunId(id)
  const pins = await loadPins(store)
  const release = pins.hold(origin)
  try {
    return await pins.exclusive(async () => {
      await committer.settled() // what was cut before the hold may remove records
      const found = await readBeginning(store, origin, begin)
      if (found === undefined) return false
      await assertFree(store, id)
      const { head, beginning } = found
      const { kind, name, snapshot } = head
      const { data, status, steps, path, length, toSnapshot } = beginning
      const { log: snapshots, pin, list } = await openSnapshot(store, pins, id, { run: origin, end: snapshot, path, length })
      const log = createRunLog(room, { id, kind, name, data }, snapshots)
      log.update({ status })
      for (const [key, record] of steps) log.putStep(key, record)
      log.follow(() => toSnapshot(list))
      try {
        if (pin !== undefined) log.stage(pins.add(pin))
        await log.commit()
      } catch (error) {
        if (pin !== undefined) pins.remove(pin)
        throw error
      }
      return true
    })
  } finally {
    release()
  }
}

/** The head of the origin, and what was read of it while it was that. */
async function readBeginning(
  store: Store,
  origin: string,
  begin: (head: Head) => Promise<Beginning>,
): Promise<{ readonly head: Head; readonly beginning: Beginning } | undefined> {
  for (let tries = 1; tries <= MAX_TRIES; tries++) {
    const head = await loadHead(store, origin)
    if (head === undefined) return undefined
    const beginning = await begin(head)
    const after = await loadHead(store, origin)
    if (isDeepStrictEqual(head, after)) return { head, beginning }
  }
  throw new PerdureError('RUN_CONFLICT', `The run \`${origin}\` goes on too fast to be forked. Try again.`, {
    details: { run: origin },
  })
}

async function openSnapshot(
  store: Store,
  pins: Pins,
  id: string,
  taken: Parameters<typeof createForkedLog>[2],
): Promise<{ readonly log: SnapshotLog; readonly pin?: Pin; readonly list: readonly unknown[] }> {
  const { run, end, path, length } = taken
  if (end.inline === undefined && length !== 0) {
    const list = new Array<unknown>(length ?? 0).fill(0) // as long as what it stands for: what comes behind has its place
    return { ...createForkedLog(id, pins, taken, list), list }
  }
  const list = length === 0 ? [] : readList(run, (await loadSnapshotLog(store, run, end)).value, path, length)
  return { log: createSnapshotLog(id, pins), list }
}

async function assertFree(store: Store, id: string): Promise<void> {
  if ((await loadHead(store, id)) === undefined && !(await isBeingDeleted(store, id))) return
  throw new PerdureError('RUN_CONFLICT', `There is a run \`${id}\` already. Choose another id.`, { details: { run: id } })
}
