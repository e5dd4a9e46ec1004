import type { StepOutcome } from '../actors/step.ts'
import { isPerdureError, PerdureError } from '../errors.ts'
import { toStorable } from '../persistence/storable.ts'
import { toNearestError } from '../persistence/stored-error.ts'

/**
 * The part of a thrown value that is recorded: name, message, stack and the nearest class of the language, and of a `PerdureError` code and details. A `cause` and
 * foreign properties may hold sockets, functions and secrets (P11): they stay out. What it returns can be stored.
 */
export function toRecordedError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(toText(error))
  const copy = isPerdureError(error)
    ? new PerdureError(error.code, toText(error.message), { details: toRecordedDetails(error.details) })
    : toNearestError(error, toText(error.message))
  const name = toText(error.name)
  if (copy.name !== name) Object.defineProperty(copy, 'name', { value: name, configurable: true, writable: true })
  if (error.stack !== undefined) copy.stack = toText(error.stack)
  return copy
}

/** An outcome as it is recorded. */
export const toRecordedOutcome = <T>(outcome: StepOutcome<T>): StepOutcome<T> =>
  outcome.status === 'error' ? { status: 'error', error: toRecordedError(outcome.error) } : outcome

/** The text of anything: of what has none, too. */
function toText(value: unknown): string {
  try {
    return String(value)
  } catch {
    return 'A value was thrown that has no text'
  }
}

/** Details that cannot be stored are not worth the error that they belong to. */
function toRecordedDetails(details: PerdureError['details']): PerdureError['details'] {
  try {
    toStorable(details)
    return details
  } catch {
    return {}
  }
}
