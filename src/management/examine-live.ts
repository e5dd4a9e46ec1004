import { isPerdureError, type PerdureError } from '../errors.ts'
import { createClaims } from '../runtime/claims.ts'
import { type DoctorReport, examine } from '../runtime/examination.ts'
import { createMachineRegistry, type MachineEntry } from '../runtime/machine-registry.ts'
import { openMemoryStore } from '../runtime/stores.ts'
import { importRun } from './import.ts'
import type { Management } from './management.ts'

/**
 * As {@link examine}, of a store that another process has open: each live run of a machine is exported, and the copy is looked at here. Its owner goes on meanwhile: a run that ends
 * before its turn comes is left out. Errors: `MACHINE_DUPLICATE`, those of `store`; a run that cannot be read is a report.
 */
export async function* examineLive(
  store: Management,
  machines: readonly MachineEntry[],
): AsyncGenerator<DoctorReport, void, void> {
  const registry = createMachineRegistry(machines)
  for await (const run of store.runs()) {
    const isLive = run.status === 'unreadable' || (run.kind === 'machine' && isOpen(run.status))
    if (!isLive) continue
    const runId = run.id
    const machine = run.status === 'unreadable' ? undefined : run.name
    try {
      if (machine === undefined) await store.run(runId) // says what is wrong with it
      const copy = await openMemoryStore()
      await importRun({ store: copy, claim: createClaims().claim }, store.export(runId))
      for await (const report of examine(copy, registry)) if (report.runId === runId) yield report
    } catch (error) {
      if (isPerdureError(error, 'RUN_NOT_FOUND')) continue // deleted meanwhile
      if (!isUnreadable(error)) throw error
      yield { runId, ...(machine !== undefined && { machine }), verdict: 'unreadable', error }
    }
  }
}

const isOpen = (status: string): boolean => status === 'running' || status === 'incompatible'
const isUnreadable = (error: unknown): error is PerdureError =>
  isPerdureError(error, 'RUN_CORRUPT') || isPerdureError(error, 'STORE_FORMAT_NEWER')
