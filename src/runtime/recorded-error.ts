import { isPerdureError, PerdureError } from '../errors.ts'

/**
 * The part of a thrown value that is recorded: name, message, stack, and of a `PerdureError` code and details. A `cause` and
 * foreign properties may hold sockets, functions and secrets (P11): they stay out.
 */
export function toRecordedError(error: unknown): Error {
  if (isPerdureError(error)) {
    const copy = new PerdureError(error.code, error.message, { details: error.details })
    if (error.stack !== undefined) copy.stack = error.stack
    return copy
  }
  if (!(error instanceof Error)) return new Error(String(error))
  const copy = new Error(error.message)
  copy.name = error.name
  if (error.stack !== undefined) copy.stack = error.stack
  return copy
}
