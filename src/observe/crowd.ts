import type { RuntimeEvent } from '../runtime/events.ts'
import { isOfMachine } from './ledger-calls.ts'
import type { LogLine } from './log-line.ts'
import { isMachineEvent } from './machine-lines.ts'
import { toNumber } from './quantity.ts'
import { keepTogether } from './text-width.ts'

/** Keeps the log of a hundred thousand machines readable: of lines of one kind the first of a second are printed, the others counted. */
export interface Crowd {
  /** Whether the lines of this event are printed. What is counted is printed when its second is over. */
  admit(event: RuntimeEvent, lines: readonly LogLine[]): boolean
  /** Prints what was counted. */
  flush(): void
}

interface Group {
  readonly type: RuntimeEvent['type']
  printed: number
  counted: number
}

const WINDOW_MS = 1_000
const MAX_LINES = 10

/** Where those are found that were only counted. */
const LISTED: { readonly [T in RuntimeEvent['type']]?: string } = { 'machine.failed': 'failed', 'machine.parked': 'incompatible' }

/** Whether there may be any number of such events at once. */
const isOfCrowd = (event: RuntimeEvent): boolean => isMachineEvent(event) || ('checkpoint' in event && isOfMachine(event))

function toCountLine(line: LogLine, { type, counted }: Group): LogLine {
  const status = LISTED[type]
  const list = status === undefined ? '' : `: ${keepTogether(`runtime.runs({ status: '${status}' })`)} lists them`
  return { ...line, detail: `${toNumber(counted)} more${list}` }
}

/** Seconds are those of the events; a timer that keeps no process alive ends the last one. */
export function createCrowd(print: (lines: readonly LogLine[]) => void): Crowd {
  let since = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  /** By what stands before the details of a line: as many as there are machines, and forgotten after a second. */
  const groups = new Map<string, Group & { readonly line: LogLine }>()

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    process.off('exit', flush)
    const counts = [...groups.values()].filter(({ counted }) => counted > 0)
    groups.clear()
    if (counts.length > 0) print(counts.map((group) => toCountLine(group.line, group)))
  }

  return {
    flush,
    admit(event, [line]) {
      if (line === undefined || !isOfCrowd(event)) return true
      const elapsed = event.time - since
      if (!(elapsed >= 0 && elapsed < WINDOW_MS)) {
        flush()
        since = event.time
      }
      const key = `${line.verb} ${line.name}`
      const group = groups.get(key) ?? { type: event.type, line, printed: 0, counted: 0 }
      groups.set(key, group)
      if (group.printed < MAX_LINES) {
        group.printed++
        return true
      }
      group.counted++
      if (timer === undefined) {
        timer = setTimeout(flush, WINDOW_MS)
        timer.unref()
        process.on('exit', flush)
      }
      return false
    },
  }
}
