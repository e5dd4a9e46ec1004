import type { RuntimeEvent } from '../runtime/events.ts'
import { toErrorSummary } from './error-summary.ts'
import { toSafeJson } from './safe-text.ts'

/**
 * One event as one line of JSON, without the line feed: `time` (epoch milliseconds), `type`, `runId`, then the fields of
 * {@link RuntimeEvent} under their names. An `error` is `{ name, code, message }`, `code` only where it has one (P11). Of a message
 * that was dropped the `event` is its `type`: the rest is the user's, and may be secret, large or no JSON.
 */
export function toJsonLine(event: RuntimeEvent): string {
  const { time, type, runId, ...rest } = event
  const error = 'error' in rest && rest.error !== undefined ? { error: toErrorSummary(rest.error) } : {}
  const message = event.type === 'message.dropped' ? { event: { type: event.event.type } } : {}
  return toSafeJson(JSON.stringify({ time, type, runId, ...rest, ...error, ...message }))
}
