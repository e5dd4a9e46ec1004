import type { RuntimeEvent } from '../runtime/events.ts'
import { toErrorSummary, toErrorText } from './error-summary.ts'
import type { LogLine } from './log-line.ts'
import { toSafeText } from './safe-text.ts'
import { cutText } from './text-width.ts'

/** What machines' runs tell: how each begins and ends, and what a person should know of. Nothing of it is remembered: there may be any number of runs. */
export type MachineEvent = Extract<
  RuntimeEvent,
  { readonly type: `machine.${string}` | 'run.blocked' | 'run.removed' | 'message.dropped' }
>

const MAX_ERROR = 300
const others: readonly RuntimeEvent['type'][] = ['run.blocked', 'run.removed', 'message.dropped']

export function isMachineEvent(event: RuntimeEvent): event is MachineEvent {
  return event.type.startsWith('machine.') || others.includes(event.type)
}

const toText = (error: unknown): string => cutText(toErrorText(toErrorSummary(error)), MAX_ERROR)

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
      return line('fail', 'failed', `${run} · ${toText(event.error)}`)
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
        `${run} · the machine no longer has ${cutText(event.missing.map(toSafeText).join(', '), MAX_ERROR)} · it is kept; register the version that it began with, or a migrate`,
      )
    case 'run.blocked':
      return line('fail', 'blocked', `${run} cannot go on and is kept · ${toText(event.error)}`)
    case 'run.removed':
      return line('note', 'removed', run)
    case 'message.dropped':
      return line(
        'cut',
        'dropped',
        `${cutText(toSafeText(event.event.type), MAX_ERROR)} from run ${toSafeText(event.from)} · ${run} does not exist or has ended`,
      )
  }
}
