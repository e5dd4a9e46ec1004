import { basename } from 'node:path'
import { PerdureError } from '../../errors.ts'
import { type ExplorationPlan, explore, type Play } from './explore.ts'
import { createProcessRoom, runProcessScenario } from './process-scenario.ts'
import type { CrashReport } from './report.ts'
import { runScenario } from './scenario.ts'
import { parseSchedule } from './schedule.ts'
import type { CrashSubject } from './subject.ts'

/** How {@link exploreCrashes} goes about it. */
export interface ExploreOptions {
  /** What the report calls the subject. Default: the name of the function or of the module. */
  readonly name?: string | undefined
  /** Which of the schedules with more than one death are drawn, and when processes are killed. Default: 1. */
  readonly seed?: number | undefined
  /** How many schedules with a second death, during the recovery from the first, are drawn. `Infinity`: all. Default: 100. */
  readonly pairs?: number | undefined
  /** The same with a third death. They go on from the pairs that were drawn. Default: 0. */
  readonly triples?: number | undefined
  /** Plays this one only, as a failure shows it: `4+ 2-` is: write 4 is applied and not acknowledged; then write 2 of the next life is not applied. */
  readonly schedule?: string | undefined
  /** How long a life may take that does not die, in milliseconds of real time. Default: 10,000. */
  readonly timeoutMs?: number | undefined
  /**
   * Whether an output is right that differs from the reference where a step came out of doubt with a report or by a person's answer: only then it is asked. Default:
   * any is.
   */
  readonly accepts?: ((output: unknown, reference: unknown) => boolean) | undefined
  /** Each life is a process of its own that is killed by SIGKILL, on a LevelDB in a temporary folder: slower, and as real as it gets. Default: false. */
  readonly process?: boolean | undefined
  /** With `process`: how many deaths there are at random instants, one to three in a row, besides those at writes. Default: 0. */
  readonly instants?: number | undefined
  /** With `process`: how many programs are played at once. Default: 2. */
  readonly concurrency?: number | undefined
}

/**
 * Proves that a program survives its death at any point: runs it once to count its durable writes; then lets it die before and after each of these writes, begins it again
 * on what it left behind, and holds what it comes to against the run that never died. Then with a second death, during the recovery, and with a third.
 *
 * Compared are the output; the status, state and output of every run in the store, and the outcome of every step; the effects that the outside saw and the requests that
 * models were paid for. Times, attempts and costs are not. Where a step was settled with a report that its outcome is not known, or by a person, only effects and calls
 * are, and `accepts` decides over the output.
 *
 * In one process (default) a death is a store that stops: what the dead program still does has no effect on the next life, as far as it goes through the
 * runtime and {@link CrashLife.outside}. Time is virtual and goes on from life to life: sleeps, deadlines and retries take none of the system's (the runtime looks at its clock once a
 * minute, so think of hours and days, not of years). `Math.random` is replaced meanwhile, so that a schedule is the same each time; do nothing else in the process. With
 * `process: true` each life is a process that is killed by SIGKILL.
 *
 * Resolves with what was counted. Errors: `CRASH_FOUND` with the table, the shortest schedule of deaths after which something is wrong, and how to play it again; an
 * `Error` for a subject that fails, is stuck, writes nothing or differs without any death; a `TypeError`.
 *
 * @param subject - a function; or the URL of a module that exports it as `subject`.
 * @example
 * ```ts
 * import { exploreCrashes } from 'perdure/testing'
 *
 * const report = await exploreCrashes(async (life) => {
 *   const runtime = await life.open()
 *   const order = runtime.flow('order', async (item: string, { step }) =>
 *     step('pay', ({ key }) => life.outside.effect(`payment for ${item}`, key)),
 *   )
 *   return order.run('book')
 * })
 * console.log(String(report))
 * ```
 */
export async function exploreCrashes<T>(subject: CrashSubject<T> | URL, options: ExploreOptions = {}): Promise<CrashReport> {
  const report = await exploreReport(subject, options)
  if (report.failures.length > 0) throw toFound(report)
  return report
}

/** The same, and what was found is only in the report: for campaigns over many subjects. */
export async function exploreReport<T>(subject: CrashSubject<T> | URL, options: ExploreOptions = {}): Promise<CrashReport> {
  const { seed = 1, pairs = 100, triples = 0, timeoutMs = 10_000, instants = 0, concurrency = 2, accepts } = options
  assertCount('seed', seed, 0)
  for (const [name, count] of Object.entries({ pairs, triples })) if (count !== Infinity) assertCount(name, count, 0)
  for (const [name, count] of Object.entries({ timeoutMs, concurrency })) assertCount(name, count, 1)
  assertCount('instants', instants, 0)
  if (options.process !== true && instants > 0)
    throw new TypeError('Expected `instants` to be 0 without `process: true`: in one process nothing dies at a random instant')
  const plan: ExplorationPlan = {
    name: options.name ?? toName(subject),
    seed,
    pairs,
    triples,
    instants,
    schedule: options.schedule === undefined ? undefined : parseSchedule(options.schedule),
    accepts,
    // Lives that share an event loop come one after the other: whether one rests could not be told.
    concurrency: options.process === true ? concurrency : 1,
  }
  const program = await toProgram(subject)
  const toSeed = (isOther = false): number => (isOther ? 0x5eed : 1)
  if (options.process !== true)
    return explore(
      (deaths, { forget, isOther } = {}) => runScenario(program, deaths, { timeoutMs, forget, seed: toSeed(isOther) }),
      plan,
    )
  if (!(subject instanceof URL))
    throw new TypeError(
      'Expected the subject of `process: true` to be the URL of a module that exports `subject`: each life loads it',
    )
  const room = await createProcessRoom()
  try {
    const play: Play = (deaths, { forget, isOther } = {}) =>
      runProcessScenario(subject, deaths, { timeoutMs, forget, seed: toSeed(isOther) }, room)
    return await explore(play, plan)
  } finally {
    await room.remove()
  }
}

async function toProgram(subject: CrashSubject | URL): Promise<CrashSubject> {
  const found: unknown =
    subject instanceof URL ? ((await import(subject.href)) as { readonly subject?: unknown }).subject : subject
  if (typeof found === 'function') return found as CrashSubject // of whoever explores it
  const what =
    subject instanceof URL ? `the module ${subject.href} to export a function \`subject\`` : 'the subject to be a function'
  throw new TypeError(`Expected ${what}, got \`${String(found)}\` (${typeof found})`)
}

const toName = (subject: CrashSubject | URL): string =>
  subject instanceof URL ? basename(subject.pathname).replace(/\.\w+$/, '') : subject.name || 'subject'

function assertCount(name: string, value: unknown, minimum: number): void {
  if (Number.isInteger(value) && Number(value) >= minimum) return
  throw new TypeError(`Expected \`${name}\` to be an integer ≥ ${minimum}, got \`${String(value)}\` (${typeof value})`)
}

function toFound(report: CrashReport): PerdureError {
  const [first] = report.failures
  const { name, scenarios, failures } = report
  const schedule = first?.schedule ?? ''
  return new PerdureError(
    'CRASH_FOUND',
    `Crashes break \`${name}\`: ${failures.length} of ${scenarios} ${scenarios === 1 ? 'schedule ends' : 'schedules end'} in another way than without deaths. ` +
      `The shortest is \`${schedule}\`: ${first?.problems.join(' ')} Run it again with \`exploreCrashes(subject, { schedule: '${schedule}' })\`.\n\n${report}`,
    { details: { report } },
  )
}
