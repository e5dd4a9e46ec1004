import { z } from 'zod'
import { isPerdureError, type PerdureError } from '../errors.ts'
import { type Head, loadHeads } from '../persistence/run-log.ts'
import { loadSnapshotLog } from '../persistence/snapshots.ts'
import type { Store } from '../persistence/store.ts'
import type { StoredTimer } from './durable-timers.ts'
import { MACHINE, readMachineHead } from './machine-head.ts'
import { type MachineRegistry, type MachineVersion, planActivation } from './machine-registry.ts'
import { parseRecorded, toCorrupt } from './recorded.ts'

/** The machine that a run was recorded with. */
interface Examined {
  readonly runId: string
  /** The machine's id. */
  readonly machine: string
  readonly version: MachineVersion
}

/** What would become of one live run. */
export type DoctorReport =
  /** `continue`: it goes on as it is. `migrate`: its `migrate` was tried, and the result fits. */
  | (Examined & { readonly verdict: 'continue' | 'migrate' })
  /** It would be kept, and not go on: its machine lacks what is `missing`, or `error` (`MIGRATION_FAILED`) says what is wrong with `migrate`. */
  | (Examined & { readonly verdict: 'park'; readonly missing: readonly string[]; readonly error?: PerdureError })
  /** `error` is a `MACHINE_UNKNOWN`. */
  | (Examined & { readonly verdict: 'unknown'; readonly error: PerdureError })
  /** It is damaged, or of a newer format. Of a run whose head cannot be read nothing else is known, not even whether it is a machine's. */
  | (Partial<Examined> & { readonly runId: string; readonly verdict: 'unreadable'; readonly error: PerdureError })

// Of the actor anything may be stored that its machine can no longer read: that is for the plan to say.
const Timer = z.custom<StoredTimer>()
const Record = z.object({
  actor: z.custom<object>((value) => typeof value === 'object' && value !== null),
  timers: z.array(Timer),
})

/**
 * Looks at every live run of a machine in `store`, in the order of their ids, one at a time. Starts and writes nothing. Errors: those of reading a store;
 * a run that cannot be read is a report.
 */
export async function* examine(store: Store, registry: MachineRegistry): AsyncGenerator<DoctorReport, void, void> {
  for await (const head of loadHeads(store)) {
    if (isPerdureError(head)) yield { runId: String(head.details.run), verdict: 'unreadable', error: head }
    else if (head.kind === MACHINE && head.endedAt === undefined) yield await examineRun(store, registry, head)
  }
}

async function examineRun(store: Store, registry: MachineRegistry, head: Head): Promise<DoctorReport> {
  const { id: runId, name: machine } = head
  let examined: Examined | undefined
  try {
    const { version } = readMachineHead(head)
    examined = { runId, machine, version }
    const { value } = await loadSnapshotLog(store, runId, head.snapshot)
    if (value === undefined) throw toCorrupt(runId, 'it has no snapshot')
    const { actor: snapshot, timers } = parseRecorded(Record, value, runId, 'snapshot')
    const plan = planActivation(registry, { run: runId, name: machine, version, snapshot, timers })
    switch (plan.kind) {
      case 'park':
        return { ...examined, verdict: 'park', missing: plan.missing }
      case 'failed':
        return { ...examined, verdict: 'park', missing: readMissing(plan.error), error: plan.error }
      case 'unknown':
        return { ...examined, verdict: 'unknown', error: plan.error }
      default:
        return { ...examined, verdict: plan.kind }
    }
  } catch (error) {
    if (!isPerdureError(error, 'RUN_CORRUPT') && !isPerdureError(error, 'STORE_FORMAT_NEWER')) throw error
    return { ...(examined ?? { runId, machine }), verdict: 'unreadable', error }
  }
}

/** As `migrateState` put it there. */
const readMissing = ({ details }: PerdureError): readonly string[] => (details.missing as readonly string[] | undefined) ?? []
