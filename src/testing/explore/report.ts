import type { Problem, ProblemKind } from './judge.ts'

/** A schedule of deaths after which something was wrong. */
export interface CrashFailure {
  /** As `exploreCrashes` takes it to run it again. */
  readonly schedule: string
  /** What was wrong, in sentences. */
  readonly problems: readonly string[]
}

/** What `exploreCrashes` found out. */
export interface CrashReport {
  readonly name: string
  readonly seed: number
  /** How many durable writes the program does when nothing disturbs it. */
  readonly writes: number
  /** How many schedules of deaths were run. */
  readonly scenarios: number
  readonly deaths: number
  /** Calls and steps that had settled and were executed again, and requests to models that were paid without need. */
  readonly repeatedCalls: number
  /** Effects that the outside saw more often than without deaths. */
  readonly doubledEffects: number
  /**
   * What `outside.once` had acknowledged before a death, where the program comes to another end, and to the right one when the client sends just this again: it was
   * acknowledged and not kept.
   */
  readonly lostEvents: number
  /** Schedules after which the output, the state of a run, its steps or the effects seen outside are not those of the program that never died. */
  readonly divergedStates: number
  /** Schedules after which the program neither ended nor had anything under way. */
  readonly stuckRuns: number
  /** Steps that were in flight at a death. */
  readonly inDoubt: number
  /** Of these, how many were settled with a report or by a person, since nobody knows what they came to. */
  readonly reported: number
  /** The shortest schedules first. */
  readonly failures: readonly CrashFailure[]
  readonly seconds: number
  /** A table. */
  toString(): string
}

/** Gathers what is judged. */
export interface Tally {
  add(
    schedule: string,
    deaths: number,
    judged: { readonly problems: readonly Problem[]; readonly inDoubt: number; readonly reported: number },
  ): void
  toReport(about: { readonly name: string; readonly seed: number; readonly writes: number }): CrashReport
}

export function createTally(): Tally {
  const startedAt = performance.now()
  const counts = { repeatedCall: 0, doubledEffect: 0, lostEvent: 0, divergedState: 0, stuckRun: 0 } satisfies Record<
    ProblemKind,
    number
  >
  const failures: (CrashFailure & { readonly deaths: number })[] = []
  const totals = { scenarios: 0, deaths: 0, inDoubt: 0, reported: 0 }
  return {
    add(schedule, deaths, { problems, inDoubt, reported }) {
      if (deaths > 0) totals.scenarios++ // else the program had come to its end before
      totals.deaths += deaths
      totals.inDoubt += inDoubt
      totals.reported += reported
      // That a state differs is one thing, in however many places it does.
      for (const kind of ['divergedState', 'stuckRun'] as const)
        if (problems.some((problem) => problem.kind === kind)) counts[kind]++
      for (const { kind } of problems) if (kind !== 'divergedState' && kind !== 'stuckRun') counts[kind]++
      if (problems.length > 0) failures.push({ schedule, problems: problems.map(({ text }) => text), deaths })
    },
    toReport({ name, seed, writes }) {
      // What is played at once ends in any order.
      const sorted = failures.toSorted((a, b) => a.deaths - b.deaths || compareTexts(a.schedule, b.schedule))
      const report = {
        name,
        seed,
        writes,
        scenarios: totals.scenarios,
        deaths: totals.deaths,
        repeatedCalls: counts.repeatedCall,
        doubledEffects: counts.doubledEffect,
        lostEvents: counts.lostEvent,
        divergedStates: counts.divergedState,
        stuckRuns: counts.stuckRun,
        inDoubt: totals.inDoubt,
        reported: totals.reported,
        failures: sorted.map(({ schedule, problems }) => ({ schedule, problems })),
        seconds: Math.round(performance.now() - startedAt) / 1000,
      }
      // Not among the fields that are counted, compared and printed as JSON.
      return Object.defineProperty(report, 'toString', { value: () => toTable(report), enumerable: false })
    },
  }
}

function toTable(report: Omit<CrashReport, 'toString'>): string {
  const rows: readonly (readonly [string, number])[] = [
    ['durable writes', report.writes],
    ['crash scenarios', report.scenarios],
    ['deaths', report.deaths],
    ['steps in doubt', report.inDoubt],
    ['reported as in doubt', report.reported],
    ['settled calls repeated', report.repeatedCalls],
    ['effects doubled', report.doubledEffects],
    ['acknowledged events lost', report.lostEvents],
    ['diverged final states', report.divergedStates],
    ['runs stuck', report.stuckRuns],
  ]
  const width = Math.max(...rows.map(([label]) => label.length))
  const digits = Math.max(...rows.map(([, count]) => String(count).length))
  const lines = rows.map(([label, count]) => `  ${label.padEnd(width)}  ${String(count).padStart(digits)}`)
  return [`${report.name} (seed ${report.seed}, ${report.seconds.toFixed(1)} s)`, ...lines].join('\n')
}

/** Numbers in them count as such: `9-` comes before `10-`. */
const compareTexts = (a: string, b: string): number => a.localeCompare(b, 'en', { numeric: true })
