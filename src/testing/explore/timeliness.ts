import type { StepRecord } from '../../persistence/run-record.ts'
import type { LivedLife, Scenario } from './scenario.ts'

/** When runs ended and effects were first seen, in epoch milliseconds of the world under test. */
export type Times = ReadonlyMap<string, number>

/** A process also waits for what does not outlive it, that a run leaves memory: this is not told from being late or early. */
const TOLERANCE_MS = 1_000

export function toTimes({ lives, records }: Pick<Scenario, 'lives' | 'records'>): Times {
  const times = new Map<string, number>()
  for (const [id, { head }] of records.runs) if (head.endedAt !== undefined) times.set(`The end of run \`${id}\``, head.endedAt)
  for (const { seen } of lives)
    for (const one of seen) {
      if (one.type !== 'effect') continue
      const what = `The effect \`${one.name}\``
      if (!times.has(what)) times.set(what, one.at)
    }
  return times
}

/**
 * A death takes no time of the world under test: timers and sleeps keep theirs. Only what was executed when it came is executed anew, and takes its time again: so much later may
 * come what follows it, and nothing earlier. Gives sentences.
 */
export function* findUntimely(actual: Times, expected: Times, lives: readonly LivedLife[]): Iterable<string> {
  let lostMs = 0
  for (const { left, endedAt } of lives) {
    let longest = 0
    for (const { steps } of left?.runs.values() ?? [])
      for (const step of steps.values()) if (isExecuted(step)) longest = Math.max(longest, endedAt - step.startedAt)
    lostMs += longest
  }
  for (const [what, at] of actual) {
    const due = expected.get(what)
    if (due === undefined || (at >= due - TOLERANCE_MS && at <= due + lostMs + TOLERANCE_MS)) continue
    yield `${what} comes ${Math.abs(at - due).toLocaleString('en-US')} ms too ${at < due ? 'early' : 'late'}.`
  }
}

const executed: ReadonlySet<string> = new Set(['model', 'tool', 'step'])

/** Whether it was under way at the death. What waits for its next attempt keeps its time. */
const isExecuted = ({ kind, status, retryAt }: StepRecord): boolean =>
  status === 'intended' && retryAt === undefined && executed.has(kind)
