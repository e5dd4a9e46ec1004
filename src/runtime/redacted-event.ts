import { type Redact, toRedactText } from '../persistence/redaction.ts'
import { fromStorable, toStorable } from '../persistence/storable.ts'
import type { RuntimeEvent } from './events.ts'
import { toRecordedError } from './recorded-error.ts'

/** What of an event may hold what came from outside. */
const payloads: ReadonlySet<string> = new Set(['error', 'text', 'value', 'delta', 'reason'])

/** The event as it is logged. What cannot be redacted is left out of it. */
export function toRedactedEvent(event: RuntimeEvent, redact: Redact): RuntimeEvent {
  const fields = Object.entries(event).map(([field, value]) => [field, payloads.has(field) ? toRedacted(field, value) : value])
  return Object.fromEntries(fields) as RuntimeEvent // its fields, with other texts in them

  function toRedacted(field: string, value: unknown): unknown {
    const redactText = toRedactText(redact, event.runId, (path) => field === 'error' && /^(name|code)$/.test(String(path[1])))
    try {
      return fromStorable(toStorable(field === 'error' ? toRecordedError(value) : value, [field], undefined, redactText))
    } catch {
      return field === 'error' ? new Error('It cannot be told: the option `redact` failed') : undefined
    }
  }
}
