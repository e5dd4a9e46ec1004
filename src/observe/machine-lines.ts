import type { RuntimeEvent } from '../runtime/events.ts'
import { toErrorSummary, toErrorText } from './error-summary.ts'
import type { LogLine } from './log-line.ts'
import { toSafeText } from './safe-text.ts'
import { cutText } from './text-width.ts'

/** What runs of machines tell: how each begins and ends, and what a person should know of. */
export type MachineEvent = Extract<
  RuntimeEvent,
  { readonly type: `machine.${string}` | 'run.blocked' | 'run.removed' | 'message.dropped' }
>

const MAX_ERROR = 300
const MAX_MISSING = 2
const MAX_WHAT = 40
const others: readonly RuntimeEvent['type'][] = ['run.blocked', 'run.removed', 'message.dropped']

export function isMachineEvent(event: RuntimeEvent): event is MachineEvent {
  return event.type.startsWith('machine.') || others.includes(event.type)
}

const toText = (error: unknown): string => cutText(toErrorText(toErrorSummary(error)), MAX_ERROR)

/** The first things, each cut, and how many more: what follows must still fit. */
function toMissingText(missing: readonly string[]): string {
  const shown = missing.slice(0, MAX_MISSING).map((what) => cutText(toSafeText(what), MAX_WHAT))
  const others = missing.length - shown.length
  return `${shown.join(', ')}${others > 0 ? ` and ${others} more` : ''}`
}

/** What is printed of an event of a machine's run. */
export function toMachineLine(event: MachineEvent): LogLine {
  const run = `run ${toSafeText(event.runId)}`
  const line = (tone: LogLine['tone'], verb: string, detail: string): LogLine => ({
    tone,
    level: 0,
    name: 'name' in event ? toSafeText(event.name) : '',
    verb,
    detail,
  })
  switch (event.type) {
    case 'machine.started':
      return line('begin', 'started', run)
    case 'machine.completed':
      return line('complete', 'completed', run)
    case 'machine.failed':
      return line('fail', 'failed', `${run} · ${toText(event.error)} · start it anew under another id`)
    case 'machine.cancelled':
      return line(
        'cut',
        'cancelled',
        event.reason === undefined ? run : `${run} · ${cutText(toSafeText(event.reason), MAX_ERROR)}`,
      )
    case 'machine.parked':
      return line(
        'cut',
        'parked',
        `${run} · waits for a machine that has ${toMissingText(event.missing)}: register the version that it began with, or a migrate`,
      )
    case 'run.blocked':
      if (event.runId === '')
        return line('fail', 'blocked', `the space of removed runs could not be given back · ${toText(event.error)}`)
      return line('fail', 'blocked', `${run} is kept, and tried again at the next opening · ${toText(event.error)}`)
    case 'run.removed':
      return line('note', 'removed', run)
    case 'message.dropped':
      return line(
        'cut',
        'dropped',
        `${cutText(toSafeText(event.event.type), MAX_ERROR)} from run ${toSafeText(event.from)} to ${run}, which does not exist or has ended: start it before it is sent to`,
      )
  }
}
