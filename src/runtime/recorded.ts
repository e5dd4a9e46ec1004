import type { z } from 'zod'
import { PerdureError } from '../errors.ts'

/** The error for a run whose records do not fit each other. */
export function toCorrupt(run: string, what: string, cause?: unknown): PerdureError {
  return new PerdureError(
    'RUN_CORRUPT',
    `The run \`${run}\` is damaged: ${what}. Other runs are not touched. Restore the store from a backup, or start the run anew under another id.`,
    { cause, details: { run } },
  )
}

/** Reads what was recorded of `run` as `what` (P9). Errors: `RUN_CORRUPT`. */
export function parseRecorded<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  run: string,
  what: string,
): z.output<Schema> {
  const result = schema.safeParse(value)
  if (!result.success) throw toCorrupt(run, `its ${what} is not what it should be`, result.error)
  return result.data
}
