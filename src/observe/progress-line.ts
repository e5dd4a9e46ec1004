import type { LedgerCall } from './ledger-run.ts'
import type { LedgerState } from './ledger-state.ts'
import type { LogOutput } from './log-output.ts'
import { toCount, toDuration } from './quantity.ts'
import { toSafeText } from './safe-text.ts'
import { cutText } from './text-width.ts'
import type { Theme } from './theme.ts'

/** The last line of a terminal, which tells what is in flight. */
export interface ProgressLine {
  /** Follows the calls in flight of `state`; without any there is no line. */
  follow(state: LedgerState): void
  /** Hears the model's text, which somebody else may be printing. */
  hear(delta: string): void
  /** Takes the line away, so that something can be printed in its place, on a line of its own. */
  makeRoom(): void
  /** To be called after something was printed that ends with a line feed. */
  printed(): void
  /** Takes the line away for good. */
  close(): void
}

export interface ProgressOptions {
  readonly output: LogOutput
  readonly theme: Theme
  readonly now: () => number
  /** Lays the name of a checkpoint out as the lines above do. */
  readonly lead: (checkpoint: string, columns: number | undefined) => string
  /** How much was written by others to what is shown on the same terminal. */
  readonly foreignBytes: () => number
}

const INTERVAL_MS = 100
const ERASE = '\r\x1b[2K'

/** Always with a tenth of a second, so that it ticks evenly. */
const toElapsed = (ms: number): string => (ms < 1_000 ? `${(Math.floor(ms / 100) / 10).toFixed(1)} s` : toDuration(ms))

interface Flight {
  readonly runId: string
  readonly checkpoint: string
  readonly calls: readonly LedgerCall[]
}

function toFlights({ runs }: LedgerState): readonly Flight[] {
  return [...runs.values()].flatMap(({ id: runId, checkpoints }) =>
    checkpoints.flatMap((checkpoint) =>
      checkpoint.status === 'started' && checkpoint.calls.length > 0
        ? [{ runId, checkpoint: checkpoint.name, calls: checkpoint.calls }]
        : [],
    ),
  )
}

/**
 * Draws at most ten times a second, on a timer that keeps no process alive and only runs while a call does. It shares the terminal:
 * when anybody else has written since the last full line, the line stays away until the next one, and erases nothing of theirs.
 */
export function createProgressLine({ output, theme, now, lead, foreignBytes }: ProgressOptions): ProgressLine {
  let timer: NodeJS.Timeout | undefined
  let flights: readonly Flight[] = []
  let drawn = false
  let frame = 0
  let seen = foreignBytes()
  /** The text ends in the middle of a line. */
  let isOpen = false
  /** Calls whose first text has come: whoever prints it does so now, where the line would be. */
  const heard = new Set<string>()

  const clear = (): void => {
    if (drawn && foreignBytes() === seen) output.write(ERASE)
    drawn = false
  }

  const toText = (): string => {
    const flight = flights.at(-1)
    const call = flight?.calls.at(-1)
    if (flight === undefined || call === undefined) return ''
    const others = flights.reduce((sum, { calls }) => sum + calls.length, 0) - 1
    const parts = [
      `${toSafeText(call.name)} ${toElapsed(Math.max(0, now() - call.startedAt))}`,
      ...(call.textLength > 0 ? [toCount(call.textLength, 'character')] : []),
      ...(others > 0 ? [`${others} more`] : []),
    ]
    frame = (frame + 1) % theme.spinner.length
    return theme.spell(`  ${theme.spinner[frame]} ${lead(toSafeText(flight.checkpoint), output.columns)}  ${parts.join(' · ')}`)
  }

  const draw = (): void => {
    if (foreignBytes() !== seen) {
      drawn = false
      return
    }
    output.write(`${ERASE}${theme.dim(cutText(toText(), (output.columns ?? 80) - 1))}`)
    drawn = true
  }

  const stop = (): void => {
    clearInterval(timer)
    timer = undefined
    clear()
    heard.clear()
    process.off('exit', clear)
  }

  return {
    hear(delta) {
      if (delta !== '') isOpen = !delta.endsWith('\n')
    },
    makeRoom() {
      clear()
      if (isOpen && foreignBytes() !== seen) output.write('\n')
    },
    follow(state) {
      flights = toFlights(state)
      if (flights.length === 0) {
        if (timer !== undefined) stop()
        return
      }
      for (const { runId, calls } of flights) {
        for (const { key, textLength } of calls) {
          const id = `${runId}#${key}`
          if (textLength === 0 || heard.has(id)) continue
          heard.add(id)
          clear()
        }
      }
      if (timer !== undefined) return
      timer = setInterval(draw, INTERVAL_MS)
      timer.unref()
      process.on('exit', clear)
    },
    printed() {
      seen = foreignBytes()
      isOpen = false
    },
    close() {
      flights = []
      stop()
    },
  }
}
