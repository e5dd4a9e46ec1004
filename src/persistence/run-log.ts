import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import { decodeRecord, encodeRecord } from './codec.ts'
import type { Committer, Participant } from './commit.ts'
import { assertRunId, headKey, rangeOf, stepKey, stepRange } from './keys.ts'
import { loadSnapshotLog, type SnapshotLog } from './snapshots.ts'
import type { Operation, Store } from './store.ts'

/**
 * Everything that is recorded of one run: its head, its journal of steps and its snapshot. Changes are collected and go to disk together, in
 * one atomic batch (P5), at the next {@link RunLog.commit}.
 */

/**
 * One step of the journal. `intended`: it may have started and its outcome is not recorded (P3); `ok` and `error`: it has settled.
 * Times are epoch milliseconds.
 */
export interface StepRecord {
  readonly kind: string
  readonly name: string
  readonly status: 'intended' | 'ok' | 'error'
  /** How often it was started, counted from 1. */
  readonly attempt: number
  readonly startedAt: number
  readonly endedAt?: number | undefined
  /** What the step was to do, as far as recovery and comparison need it. */
  readonly data?: unknown
  /** The result of a step that is `ok`. */
  readonly value?: unknown
  /** The error of a step that is `error`. */
  readonly error?: unknown
}

export interface Head {
  readonly id: string
  readonly kind: string
  /** The name of the flow or agent. */
  readonly name: string
  readonly status: 'running' | 'completed' | 'failed'
  readonly createdAt: number
  readonly updatedAt: number
  /** What the runtime keeps about the run; its shape is the runtime's. */
  readonly data: unknown
  readonly snapshot: { readonly seq: number; readonly checksum: number }
  /** How many step records the run has: one that is missing is noticed. */
  readonly steps: number
}

const StepSchema = z.looseObject({
  kind: z.string(),
  name: z.string(),
  status: z.enum(['intended', 'ok', 'error']),
  attempt: z.number(),
  startedAt: z.number(),
  endedAt: z.number().optional(),
})

const HeadSchema = z.looseObject({
  id: z.string(),
  kind: z.string(),
  name: z.string(),
  status: z.enum(['running', 'completed', 'failed']),
  createdAt: z.number(),
  updatedAt: z.number(),
  snapshot: z.object({ seq: z.number(), checksum: z.number() }),
  steps: z.number(),
})

function parse<T>(schema: z.ZodType, key: string, bytes: Uint8Array): T {
  const value = decodeRecord(key, bytes)
  const result = schema.safeParse(value)
  if (!result.success)
    throw new PerdureError('RUN_CORRUPT', `The record \`${key}\` is not what it should be: ${z.prettifyError(result.error)}`, {
      details: { key },
    })
  return value as T // the schema names every field that T requires
}

/** Reads a run's head. `undefined`: there is no such run. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export async function loadHead(store: Store, id: string): Promise<Head | undefined> {
  const key = headKey(id)
  const bytes = await store.get(key)
  return bytes === undefined ? undefined : parse<Head>(HeadSchema, key, bytes)
}

export interface RunLog {
  readonly id: string
  readonly head: Head
  /** Changes the head; on disk with the next commit. Errors: `VALUE_NOT_STORABLE`. */
  update(change: Partial<Pick<Head, 'status' | 'data'>>): void
  /** The snapshot as last committed; `undefined` when there is none. Errors: `RUN_CORRUPT`. */
  loadSnapshot(): Promise<unknown>
  /**
   * Brings the steps whose key begins with `start` into memory. Steps that were not loaded do not exist for the functions below.
   * Errors: `RUN_CORRUPT`; without `start` also when the number of records is not what it was.
   */
  loadSteps(start?: string): Promise<void>
  /** Brings one step into memory and returns it. Errors: `RUN_CORRUPT`. */
  loadStep(key: string): Promise<StepRecord | undefined>
  /** Lets go of steps in memory that are of no more use; their records stay. */
  releaseSteps(start: string): void
  step(key: string): StepRecord | undefined
  /** The loaded steps whose key begins with `start`, in key order. */
  steps(start: string): readonly (readonly [key: string, record: StepRecord])[]
  /** Records a step; on disk with the next commit. Errors: `VALUE_NOT_STORABLE`. */
  putStep(key: string, record: StepRecord): void
  /** Removes a step; gone from the disk with the next commit. */
  deleteStep(key: string): void
  /** From now on each commit also brings the stored snapshot, loaded before, to what `read` returns at that moment. */
  follow(read: (() => unknown) | undefined): void
  /** Nothing is written from now on: what was recorded in memory no longer agrees with the disk. */
  abandon(): void
  /** Resolves when all changes up to now are on disk. Errors: those of `Store.write`, `VALUE_NOT_STORABLE`. */
  commit(): Promise<void>
}

interface Room {
  readonly store: Store
  readonly committer: Committer
  readonly now: () => number
}

function createLog({ store, committer, now }: Room, loaded: Head): RunLog {
  let head = loaded
  let snapshots: SnapshotLog | undefined
  let read: (() => unknown) | undefined
  let abandoned = false
  const memory = new Map<string, StepRecord>()
  const changed = new Map<string, Operation>()

  const requireSnapshots = async (): Promise<SnapshotLog> => {
    snapshots ??= await loadSnapshotLog(store, head.id, head.snapshot)
    return snapshots
  }

  const participant: Participant = {
    prepare() {
      if (abandoned) throw new PerdureError('ABORTED', `Run \`${head.id}\` has stopped: an earlier commit of it failed.`)
      const operations: Operation[] = [...changed.values()]
      if (read !== undefined && snapshots !== undefined) operations.push(...snapshots.write(read()))
      changed.clear()
      head = { ...head, updatedAt: now(), snapshot: snapshots?.end ?? head.snapshot }
      const key = headKey(head.id)
      operations.push({ type: 'put', key, value: encodeRecord(key, head) })
      return operations
    },
  }

  return {
    id: head.id,
    get head() {
      return head
    },
    update(change) {
      const next = { ...head, ...change }
      encodeRecord(headKey(head.id), next)
      head = next
    },
    loadSnapshot: async () => (await requireSnapshots()).value,
    async loadSteps(start = '') {
      const offset = stepKey(head.id, '').length
      const found: [string, StepRecord][] = []
      for await (const [key, bytes] of store.entries(stepRange(head.id, start)))
        found.push([key.slice(offset), parse<StepRecord>(StepSchema, key, bytes)])
      if (start === '' && found.length !== head.steps)
        throw new PerdureError(
          'RUN_CORRUPT',
          `The journal of run \`${head.id}\` has ${found.length} records instead of ${head.steps}. Other runs are not touched. Restore the store from a backup, or start the run anew under another id.`,
          { details: { run: head.id } },
        )
      for (const [key, record] of found) if (!changed.has(stepKey(head.id, key))) memory.set(key, record)
    },
    async loadStep(step) {
      const key = stepKey(head.id, step)
      if (memory.has(step) || changed.has(key)) return memory.get(step)
      const bytes = await store.get(key)
      if (bytes !== undefined && !changed.has(key)) memory.set(step, parse<StepRecord>(StepSchema, key, bytes))
      return memory.get(step)
    },
    releaseSteps(start) {
      for (const key of memory.keys()) if (key.startsWith(start)) memory.delete(key)
    },
    step: (key) => memory.get(key),
    steps: (start) => [...memory].filter(([key]) => key.startsWith(start)).sort(([a], [b]) => (a < b ? -1 : 1)),
    putStep(step, record) {
      const key = stepKey(head.id, step)
      changed.set(key, { type: 'put', key, value: encodeRecord(key, record) })
      if (!memory.has(step)) head = { ...head, steps: head.steps + 1 }
      memory.set(step, record)
    },
    deleteStep(step) {
      const key = stepKey(head.id, step)
      if (memory.delete(step)) head = { ...head, steps: head.steps - 1 }
      changed.set(key, { type: 'del', key })
    },
    follow(reader) {
      read = reader
    },
    abandon() {
      abandoned = true
    },
    commit: () => committer.commit(participant),
  }
}

/** A new run. Nothing is on disk before the first commit. Errors: `RUN_ID_INVALID`, `VALUE_NOT_STORABLE`. */
export function createRunLog(room: Room, run: Pick<Head, 'id' | 'kind' | 'name' | 'data'>): RunLog {
  assertRunId(run.id)
  const time = room.now()
  const head: Head = { ...run, status: 'running', createdAt: time, updatedAt: time, snapshot: { seq: 0, checksum: 0 }, steps: 0 }
  return createLog(room, head)
}

/** A run as the store has it; `undefined` when it has none. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`, `RUN_ID_INVALID`. */
export async function openRunLog(room: Room, id: string): Promise<RunLog | undefined> {
  assertRunId(id)
  const head = await loadHead(room.store, id)
  if (head === undefined) return undefined
  return createLog(room, head)
}

/** The heads of all runs, in id order. One that cannot be read is given as its error. */
export async function* loadHeads(store: Store): AsyncIterable<Head | PerdureError> {
  for await (const [key, bytes] of store.entries(rangeOf('h/'))) {
    try {
      yield parse<Head>(HeadSchema, key, bytes)
    } catch (error) {
      if (!(error instanceof PerdureError)) throw error
      yield error
    }
  }
}
