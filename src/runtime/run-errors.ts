import { isPerdureError, PerdureError } from '../errors.ts'
import type { Head, RunLog } from '../persistence/run-log.ts'
import { MACHINE } from './machine-head.ts'

/** Errors: `RUN_CONFLICT`. */
export function assertMachine({ id, kind, name }: Head): void {
  if (kind === MACHINE) return
  throw new PerdureError('RUN_CONFLICT', `The run \`${id}\` is the ${kind} \`${name}\`, not the run of a machine.`, {
    details: { run: id },
  })
}

/** Whether what a run made of something cannot be recorded; the store itself is sound. */
export const isUnwritable = (error: unknown): error is PerdureError =>
  isPerdureError(error, 'VALUE_NOT_STORABLE') || isPerdureError(error, 'REDACTION_FAILED')

export function toNotFound(run: string): PerdureError {
  return new PerdureError(
    'RUN_NOT_FOUND',
    `There is no run \`${run}\`. Start it with \`runtime.start(machine, { id: '${run}' })\`.`,
    {
      details: { run },
    },
  )
}

export function toIncompatible(log: RunLog, missing: readonly string[]): PerdureError {
  return new PerdureError(
    'RUN_INCOMPATIBLE',
    `The run \`${log.id}\` cannot go on with the machine \`${log.head.name}\` as it is now. Missing: ${missing.join(', ')}. It is kept as it was. Register the version that it began with beside the new one, or give the new one a \`migrate\`.`,
    { details: { run: log.id, machine: log.head.name, missing: [...missing] } },
  )
}

export function toEnded(run: string): PerdureError {
  return new PerdureError('RUN_ENDED', `The run \`${run}\` has ended and takes no more events. Start another under a new id.`, {
    details: { run },
  })
}

/** Whether a run could not be activated because there is nothing left of it to do. */
export function isOver(error: unknown): boolean {
  return isPerdureError(error, 'RUN_ENDED') || isPerdureError(error, 'RUN_NOT_FOUND')
}

export function toForkImpossible(run: string, what: string): PerdureError {
  return new PerdureError('FORK_IMPOSSIBLE', `The run \`${run}\` cannot be forked there: ${what}.`, { details: { run } })
}
