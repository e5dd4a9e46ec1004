import { PerdureError } from '../errors.ts'
import { toStorable } from '../persistence/storable.ts'
import type { RuntimeEvent } from '../runtime/events.ts'
import { toRecordedError } from '../runtime/recorded-error.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { EventQuery } from './management.ts'

/** How many events are kept for one who is slower than they come. */
const MAX_WAITING = 10_000

/** The events of a runtime, from the call on. `closing` aborts with what the iteration then fails with. */
export function listenToEvents(
  runtime: Pick<Runtime, 'subscribe'>,
  { run, signal }: EventQuery,
  closing: AbortSignal,
): AsyncIterable<RuntimeEvent> {
  if (run !== undefined && typeof run !== 'string')
    throw new TypeError(`Expected \`run\` to be the id of a run, got \`${String(run)}\` (${typeof run})`)

  async function* generate(): AsyncGenerator<RuntimeEvent> {
    const waiting: RuntimeEvent[] = []
    let change = Promise.withResolvers<void>()
    const wake = (): void => change.resolve()
    const subscription = runtime.subscribe((event) => {
      if (run !== undefined && event.runId !== run && !event.runId.startsWith(`${run}/`)) return
      if (waiting.length === MAX_WAITING) waiting.shift()
      waiting.push(event)
      wake()
    })
    signal?.addEventListener('abort', wake)
    closing.addEventListener('abort', wake)
    try {
      for (;;) {
        if (signal?.aborted === true)
          throw new PerdureError('ABORTED', 'Listening to the events of a store was aborted. Its runs go on.', {
            cause: signal.reason,
          })
        closing.throwIfAborted()
        const event = waiting.shift()
        if (event !== undefined) {
          yield toPlain(event)
          continue
        }
        await change.promise
        change = Promise.withResolvers<void>()
      }
    } finally {
      subscription.unsubscribe()
      signal?.removeEventListener('abort', wake)
      closing.removeEventListener('abort', wake)
    }
  }
  return { [Symbol.asyncIterator]: generate }
}

/** The event with nothing in it but data: what somebody threw or told may be anything. */
function toPlain(event: RuntimeEvent): RuntimeEvent {
  const entries = Object.entries(event).map(([key, value]) => [key, key === 'error' ? toRecordedError(value) : toData(value)])
  return Object.fromEntries(entries) as RuntimeEvent // the same fields
}

function toData(value: unknown): unknown {
  try {
    toStorable(value)
    return value
  } catch {
    return String(value)
  }
}
