import { PerdureError } from '../errors.ts'
import { encodeRecord, encodeStorable, readChecksum } from './codec.ts'
import type { CommitOptions, Committer, Participant } from './commit.ts'
import { assertRunId, endedKey, headKey, keptKey, rangeOf, stepKey, stepRange, toRunId, toStep, wakeKey } from './keys.ts'
import { loadPins, pinsOf } from './pins.ts'
import { addRecorded, isNameable, type RecordedValue } from './recorded-values.ts'
import { isOursInHead, isOursInSnapshot, isOursInStep, type Redact, type RedactText, toRedactText } from './redaction.ts'
import { type Head, parseHead, parseStep, type StepRecord } from './run-record.ts'
import { createSnapshotLog, loadSnapshotLog, type SnapshotLog } from './snapshots.ts'
import { toStorable } from './storable.ts'
import type { Operation, Store } from './store.ts'

export type { Head, RunStatus, StepRecord } from './run-record.ts'

/**
 * Everything that is recorded of one run: its head, its journal of steps and its snapshot. Changes are collected and go to disk
 * together, in one atomic batch (P5), at the next {@link RunLog.commit}.
 */
export interface RunLog {
  readonly id: string
  readonly head: Head
  /** Changes the head; on disk with the next commit. Errors: `VALUE_NOT_STORABLE`. */
  update(change: Partial<Pick<Head, 'status' | 'data' | 'wakeAt' | 'endedAt' | 'dormant' | 'taken'>>): void
  /** Adds an operation on a record outside of the run's own; done with the next commit. */
  stage(operation: Operation): void
  /** The snapshot as last committed; `undefined` when there is none. Errors: `RUN_CORRUPT`. */
  loadSnapshot(): Promise<unknown>
  /**
   * Brings the steps whose key begins with `start` into memory. Steps that were not loaded do not exist for the functions below.
   * Errors: `RUN_CORRUPT`; without `start` also when the number of records is not what it was.
   */
  loadSteps(start?: string): Promise<void>
  /** Brings one step into memory and returns it. Errors: `RUN_CORRUPT`. */
  loadStep(key: string): Promise<StepRecord | undefined>
  /** Lets go of steps in memory that are of no more use; their records stay, also those that are not yet on disk. */
  releaseSteps(start: string): void
  /** The same for one step. */
  releaseStep(key: string): void
  step(key: string): StepRecord | undefined
  /** The loaded steps whose key begins with `start`, in key order. */
  steps(start: string): readonly (readonly [key: string, record: StepRecord])[]
  /**
   * Records a step; on disk with the next commit. One that an earlier process or a released memory knows has to be loaded first: it
   * would be counted twice. Errors: `VALUE_NOT_STORABLE`.
   */
  putStep(key: string, record: StepRecord): void
  /**
   * Records something that the run took from outside, under a key of its own and not in memory. If it led to nothing, there is nothing to commit: it goes with the next batch that has something
   * else, or with many of its kind. Errors: `VALUE_NOT_STORABLE`, `REDACTION_FAILED`.
   */
  putTaken(key: string, record: StepRecord): void
  /** Removes a step that is in memory; gone from the disk with the next commit. */
  deleteStep(key: string): void
  /**
   * From now on each commit also brings the stored snapshot, which must have been loaded, to what `read` returns at that moment, and tells
   * `written` when it is on disk. `read` may still change the head.
   */
  follow(read: (() => unknown) | undefined, written?: () => void): void
  /** Nothing is written from now on: what was recorded in memory no longer agrees with the disk. */
  abandon(): void
  /** Whether a commit has been asked for that is not done. */
  readonly isCommitting: boolean
  /** Resolves when all changes up to now are on disk. Errors: those of `Store.write`, `VALUE_NOT_STORABLE`. */
  commit(options?: CommitOptions): Promise<void>
}

/** Where runs are recorded. */
export interface Room {
  readonly store: Store
  readonly committer: Committer
  readonly now: () => number
  /** What is written of the texts in payloads. Default: all of them, as they are. */
  readonly redact?: Redact | undefined
}

/** How much of what led to nothing is kept in memory. */
const MAX_IDLE_TAKEN = 64

/** A change of a step that may not be on disk yet; without `record` it is removed. */
interface Change {
  readonly operation: Operation
  readonly record: StepRecord | undefined
}

/** Errors: `VALUE_NOT_STORABLE`, `REDACTION_FAILED`. */
const toStorableFixed = ({ id, kind, name, data }: Head, redact: RedactText | undefined): object => ({
  ...(toStorable({ id, kind, name }) as object), // an object's is one
  data: toStorable(data, ['data'], undefined, redact),
})

/** What of a step comes from outside, or goes there. The rest is Perdure's own. */
const payloads: ReadonlySet<string> = new Set(['data', 'noted', 'value', 'error'] satisfies (keyof StepRecord)[])

/** Errors: `VALUE_NOT_STORABLE`, `REDACTION_FAILED`. */
function encodeStep(key: string, run: string, record: StepRecord, redact: Redact | undefined): Uint8Array {
  if (redact === undefined) return encodeRecord(key, record)
  const redactText = toRedactText(redact, run, isOursInStep(record.kind))
  const storable: Record<string, unknown> = {}
  for (const [field, value] of Object.entries(record))
    storable[field] = toStorable(value, [field], undefined, payloads.has(field) ? redactText : undefined)
  return encodeStorable(key, storable)
}

function createLog({ store, committer, now, redact }: Room, opened: Head, created?: SnapshotLog): RunLog {
  let head = opened
  let snapshots = created
  let loading: Promise<SnapshotLog> | undefined
  let read: (() => unknown) | undefined
  let written: (() => void) | undefined
  /** The head as it was last cut; `undefined` when it is not on disk yet. */
  let cutHead = created === undefined ? opened : undefined
  let staged: Operation[] = []
  let taken: Operation[] = []
  let abandoned = false
  /** What the last batch removed, if forks may have needed it. */
  let removed: readonly Operation[] = []
  const pins = pinsOf(store)
  /** A step that the stored snapshot may name is not what it was. */
  let isOutdated = false
  /** Those steps, as they are on the disk: forks may name them too. */
  const replaced = new Map<string, StepRecord>()
  const memory = new Map<string, StepRecord>()
  let changed = new Map<string, Change>()
  /** What the last batch took with it: perhaps still being written. */
  let cut = new Map<string, Change>()
  /** What is changed while steps are being read, by reader. */
  const overlays = new Set<Map<string, Change>>()

  /** What of the head seldom changes, as it is written. */
  const redactHead = toRedactText(redact, opened.id, isOursInHead)
  let fixed = toStorableFixed(opened, redactHead)
  const toStorableHead = (next: Head): object => {
    const { status, createdAt, updatedAt, snapshot, steps } = next
    const storable: Record<string, unknown> = { ...fixed, status, createdAt, updatedAt, snapshot, steps }
    if (next.wakeAt !== undefined) storable.wakeAt = next.wakeAt
    if (next.endedAt !== undefined) storable.endedAt = next.endedAt
    if (next.taken !== undefined) storable.taken = next.taken
    return storable
  }

  const change = (step: string, record: StepRecord | undefined): void => {
    const key = stepKey(head.id, step)
    const operation: Operation =
      record === undefined ? { type: 'del', key } : { type: 'put', key, value: encodeStep(key, head.id, record, redact) }
    const before = find(step)
    // The stored snapshot may name it.
    if (before !== undefined && isNameable(before)) {
      isOutdated = true
      if (!changed.has(step) && !replaced.has(step)) replaced.set(step, before)
    }
    const difference = (record === undefined ? 0 : 1) - (before === undefined ? 0 : 1)
    if (difference !== 0) head = { ...head, steps: head.steps + difference }
    for (const pending of [changed, ...overlays]) pending.set(step, { operation, record })
    if (record === undefined) memory.delete(step)
    else memory.set(step, record)
  }
  const pending = (step: string): Change | undefined => changed.get(step) ?? cut.get(step)
  const find = (step: string): StepRecord | undefined => memory.get(step) ?? pending(step)?.record

  const redactSnapshot = toRedactText(redact, opened.id, isOursInSnapshot)
  const writeSnapshot = (): readonly Operation[] => {
    if (snapshots === undefined) return []
    if (read === undefined && !isOutdated) return []
    const recorded = new Map<unknown, RecordedValue>()
    for (const [step, { operation, record }] of changed)
      if (record !== undefined && operation.type === 'put') addRecorded(recorded, step, record, operation.value)
    const next = read === undefined ? snapshots.value : read()
    const operations = snapshots.write(next, { recorded, anew: isOutdated, redact: redactSnapshot })
    isOutdated = false
    return operations
  }

  const keepReplaced = (): readonly Operation[] => {
    const kept = pins.isPinned(head.id) ? [...replaced].map(([step, record]) => toKept(head.id, step, record, redact)) : []
    replaced.clear()
    return kept
  }

  const participant: Participant = {
    prepare() {
      if (abandoned) throw new PerdureError('ABORTED', `Run \`${head.id}\` has stopped: an earlier commit of it failed.`)
      const delta = writeSnapshot()
      const operations: Operation[] = []
      for (const { operation } of changed.values()) operations.push(operation)
      for (const operation of staged) operations.push(operation)
      for (const operation of delta) operations.push(operation)
      if (replaced.size > 0) operations.push(...keepReplaced())
      removed = pins.isEmpty ? [] : delta
      const snapshot = snapshots?.end ?? head.snapshot
      if (operations.length === 0 && head === cutHead && snapshot === head.snapshot && taken.length < MAX_IDLE_TAKEN) return []
      if (taken.length > 0) {
        operations.push(...taken)
        head = { ...head, steps: head.steps + taken.length, taken: (head.taken ?? 0) + taken.length }
        taken = []
      }
      if (head.wakeAt !== cutHead?.wakeAt || head.endedAt !== cutHead?.endedAt) operations.push(...toIndexChanges(cutHead, head))
      const key = headKey(head.id)
      const next: Head = { ...head, updatedAt: now(), snapshot }
      operations.push({ type: 'put', key, value: encodeStorable(key, toStorableHead(next), snapshot.base === undefined ? 1 : 2) })
      head = next
      cutHead = next
      if (changed.size > 0 || cut.size > 0) {
        cut = changed
        changed = new Map()
      }
      if (staged.length > 0) staged = []
      return operations
    },
    written() {
      if (removed.length > 0) collect(removed)
      written?.()
    },
  }

  /** What a new base has released, or left because it was pinned and is not any more, goes. If that fails, it is left for the next opening. */
  const collect = (operations: readonly Operation[]): void => {
    const { base, seq } = head.snapshot
    const isLeft = base === seq && !pins.isPinned(head.id)
    if (pins.noteWritten(operations) || isLeft) pins.collect(isLeft ? head.id : undefined).catch(() => {})
  }

  const log: RunLog = {
    id: head.id,
    get head() {
      return head
    },
    update(difference) {
      const next = { ...head, ...difference }
      if ('data' in difference) fixed = toStorableFixed(next, redactHead)
      head = next
    },
    stage(operation) {
      staged.push(operation)
    },
    async loadSnapshot() {
      if (snapshots === undefined) {
        loading ??= loadSnapshotLog(store, head.id, head.snapshot).finally(() => {
          loading = undefined
        })
        const loaded = await loading
        snapshots ??= loaded
      }
      return snapshots.value
    },
    async loadSteps(start = '') {
      const overlay = new Map([...cut, ...changed])
      overlays.add(overlay)
      const found = new Map<string, StepRecord>()
      try {
        for await (const [key, bytes] of store.entries(stepRange(head.id, start)))
          found.set(toStep(head.id, key), parseStep(head.id, key, bytes))
      } finally {
        overlays.delete(overlay)
      }
      for (const [step, { record }] of overlay) {
        if (record === undefined) found.delete(step)
        else if (step.startsWith(start)) found.set(step, record)
      }
      if (start === '' && found.size !== head.steps)
        throw new PerdureError(
          'RUN_CORRUPT',
          `The journal of run \`${head.id}\` has ${found.size} records instead of ${head.steps}. Other runs are not touched. Restore the store from a backup, or start the run anew under another id.`,
          { details: { run: head.id } },
        )
      for (const [step, record] of found) memory.set(step, record)
    },
    async loadStep(step) {
      if (find(step) === undefined && pending(step) === undefined) {
        const key = stepKey(head.id, step)
        const bytes = await store.get(key)
        const isKnown = memory.has(step) || pending(step) !== undefined // changed meanwhile
        if (bytes !== undefined && !isKnown) memory.set(step, parseStep(head.id, key, bytes))
      }
      const record = find(step)
      if (record !== undefined) memory.set(step, record)
      return record
    },
    releaseSteps(start) {
      for (const key of memory.keys()) if (key.startsWith(start)) memory.delete(key)
    },
    releaseStep(key) {
      memory.delete(key)
    },
    step: (key) => memory.get(key),
    steps: (start) => [...memory].filter(([key]) => key.startsWith(start)).sort(([a], [b]) => (a < b ? -1 : 1)),
    putStep: change,
    putTaken(step, record) {
      const key = stepKey(head.id, step)
      taken.push({ type: 'put', key, value: encodeStep(key, head.id, record, redact) })
    },
    deleteStep(step) {
      if (memory.has(step)) change(step, undefined)
    },
    follow(next, onWritten) {
      if (next !== undefined && snapshots === undefined)
        throw new TypeError(`Expected the snapshot of run \`${head.id}\` to have been loaded before it is followed`)
      read = next
      written = onWritten
    },
    abandon() {
      abandoned = true
    },
    get isCommitting() {
      return committer.isPending(participant)
    },
    commit(options) {
      if (!isOutdated || snapshots !== undefined) return committer.commit(participant, options)
      const committed = log.loadSnapshot().then(() => committer.commit(participant, options)) // it is written anew
      committed.catch(() => {}) // whoever asked may have gone
      return committed
    },
  }
  return log
}

function toKept(run: string, step: string, record: StepRecord, redact: Redact | undefined): Operation {
  const value = encodeStep(stepKey(run, step), run, record, redact)
  return { type: 'put', key: keptKey(run, step, readChecksum(value)), value }
}

/** What brings the indexes of the heads from `before` to `after`. */
function* toIndexChanges(before: Head | undefined, after: Head): Iterable<Operation> {
  for (const [field, toKey] of [
    ['wakeAt', wakeKey],
    ['endedAt', endedKey],
  ] as const) {
    const [from, to] = [before?.[field], after[field]]
    if (from === to) continue
    if (from !== undefined) yield { type: 'del', key: toKey(from, after.id) }
    if (to === undefined) continue
    const key = toKey(to, after.id)
    yield { type: 'put', key, value: encodeRecord(key, null) }
  }
}

/** A new run. Nothing is on disk before the first commit. Errors: `RUN_ID_INVALID`, `VALUE_NOT_STORABLE`. */
export function createRunLog(
  room: Room,
  run: Pick<Head, 'id' | 'kind' | 'name' | 'data'>,
  snapshots = createSnapshotLog(run.id, pinsOf(room.store)),
): RunLog {
  assertRunId(run.id)
  const time = room.now()
  const head: Head = { ...run, status: 'running', createdAt: time, updatedAt: time, snapshot: { seq: 0, checksum: 0 }, steps: 0 }
  return createLog(room, head, snapshots)
}

/** A run as the store has it; `undefined` when it has none. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`, `RUN_ID_INVALID`. */
export async function openRunLog(room: Room, id: string): Promise<RunLog | undefined> {
  assertRunId(id)
  await loadPins(room.store)
  const head = await loadHead(room.store, id)
  if (head === undefined) return undefined
  return createLog(room, head)
}

/** Reads a run's head. `undefined`: there is no such run. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export async function loadHead(store: Store, id: string): Promise<Head | undefined> {
  const key = headKey(id)
  const bytes = await store.get(key)
  return bytes === undefined ? undefined : parseHead(id, key, bytes)
}

/** The heads of all runs whose id is behind `after`, in the order of their keys. One that cannot be read is given as its error. */
export async function* loadHeads(store: Store, after?: string): AsyncIterable<Head | PerdureError> {
  const all = rangeOf('h/')
  const range = after === undefined ? all : { ...all, gte: `${headKey(after)}\0` }
  for await (const [key, bytes] of store.entries(range)) {
    try {
      yield parseHead(toRunId(key), key, bytes)
    } catch (error) {
      if (!(error instanceof PerdureError)) throw error
      yield error
    }
  }
}
