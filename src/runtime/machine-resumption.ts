import type { AnyStateMachine } from 'xstate'
import type { PerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import type { ActorRecord } from './durable-actor.ts'
import { type MachineHead, readMachineHead } from './machine-head.ts'
import { type MachineRegistry, planActivation } from './machine-registry.ts'
import { toIncompatible } from './run-errors.ts'
import type { Services } from './services.ts'

/** What a run of a machine goes on with. */
interface Resumption {
  readonly machine: AnyStateMachine
  readonly record: ActorRecord
  /** What its head is to say from now on; `undefined`: what it says. */
  readonly change: MachineHead | undefined
}

/** Brings a run to the machine that there is now (P10). Errors: `RUN_INCOMPATIBLE`, `MACHINE_UNKNOWN`, `MIGRATION_FAILED`, `RUN_CORRUPT`. */
export async function prepareRun(registry: MachineRegistry, log: RunLog): Promise<Resumption> {
  const head = readMachineHead(log.head)
  const record = (await log.loadSnapshot()) as ActorRecord // checksummed: written by a durable actor
  const { name } = log.head
  const plan = planActivation(registry, {
    run: log.id,
    name,
    version: head.version,
    snapshot: record.actor,
    timers: record.timers,
  })
  if (plan.kind === 'park') throw toIncompatible(log, plan.missing)
  if (plan.kind === 'failed' || plan.kind === 'unknown') throw plan.error
  const { machine, version } = plan
  const isChanged = version.structure !== head.version.structure || version.declared !== head.version.declared
  return {
    machine,
    record: plan.kind === 'migrate' ? { ...record, actor: plan.snapshot, timers: plan.timers } : record,
    change: isChanged || log.head.status === 'incompatible' ? { ...head, version, missing: undefined } : undefined,
  }
}

/** Records that a run cannot go on, and why: `error` is that of {@link prepareRun}. */
export async function park(emit: Services['emit'], log: RunLog, error: PerdureError): Promise<void> {
  const missing = error.details.missing as readonly string[] // put there by `toIncompatible`
  const known = log.head.status === 'incompatible' ? readMachineHead(log.head).missing : undefined
  if (known?.join() === missing.join()) return
  log.update({ status: 'incompatible', data: { ...readMachineHead(log.head), missing: [...missing] } })
  await log.commit()
  emit({ type: 'machine.parked', runId: log.id, name: log.head.name, missing })
}
