import type { LedgerCall } from './ledger-run.ts'
import type { LedgerState } from './ledger-state.ts'
import type { LogOutput } from './log-output.ts'
import { toCount, toDuration } from './quantity.ts'
import { toRunLabel } from './run-label.ts'
import { toSafeText } from './safe-text.ts'
import { cutText } from './text-width.ts'
import type { Theme } from './theme.ts'

/** The last line of a terminal, which tells what is in flight. */
export interface ProgressLine {
  /** Follows the calls in flight of `state`; without any there is no line. */
  follow(state: LedgerState): void
  /** Hears the model's text, which somebody else may be printing. */
  hear(text: { readonly runId: string; readonly key: string; readonly delta: string }): void
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

/** Nobody tells when a machine leaves a call behind: one that takes longer is no longer told of. */
const MAX_MACHINE_CALL_MS = 600_000
const MAX_HEARD = 1_000

/** A call, and the name of its checkpoint or the id of its machine's run. */
interface Flight {
  readonly place: string
  readonly call: LedgerCall
}

const isFresh = (call: LedgerCall | undefined, now: number): boolean =>
  call !== undefined && now - call.startedAt < MAX_MACHINE_CALL_MS

/** Asked after each event: the newest call of a machine is the last one. */
function isAnyInFlight({ runs, machineCalls }: LedgerState, now: number): boolean {
  if (isFresh(machineCalls.at(-1), now)) return true
  for (const { checkpoints } of runs.values())
    if (checkpoints.some((checkpoint) => checkpoint.status === 'started' && checkpoint.calls.length > 0)) return true
  return false
}

function toFlights({ runs, machineCalls }: LedgerState, now: number): readonly Flight[] {
  const inCheckpoints = [...runs.values()].flatMap(({ checkpoints }) =>
    checkpoints.flatMap((checkpoint) =>
      checkpoint.status === 'started' ? checkpoint.calls.map((call) => ({ place: checkpoint.name, call })) : [],
    ),
  )
  const ofMachines = machineCalls.flatMap((call) => (isFresh(call, now) ? [{ place: toRunLabel(call.runId), call }] : []))
  return [...inCheckpoints, ...ofMachines]
}

/**
 * Draws at most ten times a second, on a timer that keeps no process alive and only runs while a call does. It shares the terminal:
 * when anybody else has written since the last full line, the line stays away until the next one, and erases nothing of theirs.
 */
export function createProgressLine({ output, theme, now, lead, foreignBytes }: ProgressOptions): ProgressLine {
  let timer: NodeJS.Timeout | undefined
  let state: LedgerState | undefined
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

  const toText = ({ place, call }: Flight, others: number): string => {
    const parts = [
      `${toSafeText(call.name)} ${toElapsed(Math.max(0, now() - call.startedAt))}`,
      ...(call.textLength > 0 ? [toCount(call.textLength, 'character')] : []),
      ...(others > 0 ? [`${others} more`] : []),
    ]
    frame = (frame + 1) % theme.spinner.length
    return theme.spell(`  ${theme.spinner[frame]} ${lead(toSafeText(place), output.columns)}  ${parts.join(' · ')}`)
  }

  const draw = (): void => {
    const flights = state === undefined ? [] : toFlights(state, now())
    const flight = flights.at(-1)
    if (flight === undefined) {
      stop()
      return
    }
    if (foreignBytes() !== seen) {
      drawn = false
      return
    }
    output.write(`${ERASE}${theme.dim(cutText(toText(flight, flights.length - 1), (output.columns ?? 80) - 1))}`)
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
    hear({ runId, key, delta }) {
      if (delta === '') return
      isOpen = !delta.endsWith('\n')
      const id = `${runId}#${key}`
      if (heard.has(id)) return
      if (heard.size >= MAX_HEARD) heard.clear() // who is heard once more takes the line away once more
      heard.add(id)
      clear()
    },
    makeRoom() {
      clear()
      if (isOpen && foreignBytes() !== seen) output.write('\n')
    },
    follow(next) {
      if (next === state) return
      state = next
      if (!isAnyInFlight(state, now())) {
        if (timer !== undefined) stop()
        return
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
      state = undefined
      stop()
    },
  }
}
