import type { RuntimeEvent } from '../runtime/events.ts'
import { toErrorSummary } from './error-summary.ts'
import { toSafeJson } from './safe-text.ts'

/**
 * One event as one line of JSON, without the line feed: `time` (epoch milliseconds), `type`, `runId`, then the fields of
 * {@link RuntimeEvent} under their names. An `error` is `{ name, code, message }`, `code` only where it has one (P11).
 */
export function toJsonLine(event: RuntimeEvent): string {
  const { time, type, runId, ...rest } = event
  const error = 'error' in rest && rest.error !== undefined ? { error: toErrorSummary(rest.error) } : {}
  return toSafeJson(JSON.stringify({ time, type, runId, ...rest, ...error }))
}
