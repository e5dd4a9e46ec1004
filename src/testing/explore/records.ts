import { isPerdureError } from '../../errors.ts'
import { inboxRange, recordRange, stepRange, toInbox, toStep } from '../../persistence/keys.ts'
import { loadHeads } from '../../persistence/run-log.ts'
import { type Head, parseStep, type StepRecord } from '../../persistence/run-record.ts'
import { loadSnapshotLog } from '../../persistence/snapshots.ts'
import type { Store } from '../../persistence/store.ts'
import { TAKEN } from '../../runtime/taken-record.ts'

/** What a store holds of one run. */
interface RunRecords {
  readonly head: Head
  readonly steps: ReadonlyMap<string, StepRecord>
  /** The state of its actors; `undefined` when it has none. */
  readonly snapshot: unknown
  /** The ids of the events that it took. */
  readonly taken: readonly string[]
}

export interface StoreRecords {
  readonly runs: ReadonlyMap<string, RunRecords>
  /** How many messages wait for a run. */
  readonly waiting: ReadonlyMap<string, number>
}

export type StoreReader = Pick<Store, 'get' | 'getMany' | 'entries'>

/** Reads everything that is recorded. Errors: `RUN_CORRUPT`. */
export async function readRecords(store: StoreReader, parts: 'steps' | 'all'): Promise<StoreRecords> {
  const runs = new Map<string, RunRecords>()
  for await (const head of loadHeads(store as Store)) {
    if (isPerdureError(head)) throw head
    const { id } = head
    const steps = new Map<string, StepRecord>()
    for await (const [key, bytes] of store.entries(stepRange(id))) {
      const step = parseStep(id, key, bytes)
      if (step.kind !== TAKEN) steps.set(toStep(id, key), step) // in which order it was taken, a death may change
    }
    const snapshot = parts === 'all' ? (await loadSnapshotLog(store as Store, id, head.snapshot)).value : undefined
    const taken: string[] = []
    if (parts === 'all') {
      const events = `${recordRange(id).gte}e/`
      for await (const [key] of store.entries({ gte: events, lt: `${events}\u{10ffff}` })) taken.push(key.slice(events.length))
    }
    runs.set(id, { head, steps, snapshot, taken })
  }
  const waiting = new Map<string, number>()
  if (parts === 'all')
    for await (const [key] of store.entries(inboxRange())) {
      const { run } = toInbox(key)
      waiting.set(run, (waiting.get(run) ?? 0) + 1)
    }
  return { runs, waiting }
}
