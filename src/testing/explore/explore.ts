import { isDeepStrictEqual } from 'node:util'
import { toMessage } from '../../errors.ts'
import { describeDifference } from './difference.ts'
import { type Accepts, judge, type Problem, type Reference, toReference } from './judge.ts'
import { createRandom, drawNumbers } from './random.ts'
import { type CrashReport, createTally } from './report.ts'
import type { Scenario } from './scenario.ts'
import { deathsWithin, type Schedule, toScheduleText } from './schedule.ts'

/** Lets the subject live and die as the schedule says. */
export type Play = (schedule: Schedule, variation?: Variation) => Promise<PlayedScenario>

/** `lastedMs`: how long the last life took, where that is measured. */
type PlayedScenario = Scenario & { readonly lastedMs?: number | undefined }

interface Variation {
  /** Acknowledgements that the client does not remember after a death. Default: none. */
  readonly forget?: (name: string) => boolean
  /** Other random numbers than those of all others. */
  readonly isOther?: boolean
}

export interface ExplorationPlan {
  readonly name: string
  readonly seed: number
  /** How many schedules of two, and of three, deaths are drawn at most. */
  readonly pairs: number
  readonly triples: number
  /** How many deaths there are at random instants. */
  readonly instants: number
  /** Only this one. */
  readonly schedule?: Schedule | undefined
  readonly accepts?: Accepts | undefined
  /** How many are played at once. */
  readonly concurrency: number
}

/** Plays the program without a death, then with all deaths of the plan, and judges each. Errors: an `Error` that says why the subject cannot be explored. */
export async function explore(play: Play, plan: ExplorationPlan): Promise<CrashReport> {
  const tally = createTally()
  const { reference, lastedMs } = await playReference(play)
  const { writes } = reference.scenario.lives[0] ?? { writes: 0 }

  /** Plays schedules and gives those that ended, each with how many writes its last life did. */
  const playAll = async (schedules: readonly Schedule[]): Promise<Played[]> => {
    const played: Played[] = []
    let next = 0
    const work = async (): Promise<void> => {
      for (let index = next++; index < schedules.length; index = next++) {
        const schedule = schedules[index] ?? []
        const scenario = await play(schedule)
        const judged = judge(scenario, reference, plan.accepts)
        const lost = judged.problems.length === 0 ? [] : await findLost(play, scenario, judged.problems, reference)
        tally.add(toScheduleText(schedule), scenario.lives.length - 1, { ...judged, problems: [...judged.problems, ...lost] })
        played[index] = { schedule, writes: scenario.lives[schedule.length]?.writes ?? 0 }
      }
    }
    await Promise.all(Array.from({ length: Math.min(plan.concurrency, schedules.length) }, work))
    return played
  }

  if (plan.schedule !== undefined) await playAll([plan.schedule])
  else {
    const random = createRandom(plan.seed)
    let played = await playAll([...deathsWithin(writes)].map((death) => [death]))
    for (const count of [plan.pairs, plan.triples]) played = await playAll(drawLonger(played, count, random))
    await playAll(drawInstants(plan.instants, lastedMs, random))
  }
  return tally.toReport({ name: plan.name, seed: plan.seed, writes })
}

interface Played {
  readonly schedule: Schedule
  /** Of the life after the last death of the schedule; 0 if it came to its end before. */
  readonly writes: number
}

/** Schedules with one more death, in the life that follows the last. */
function drawLonger(played: readonly Played[], count: number, random: () => number): Schedule[] {
  const size = played.reduce((sum, { writes }) => sum + 2 * writes, 0)
  const longer: Schedule[] = []
  const numbers = drawNumbers(size, count, random)
  let start = 0
  let drawn = 0
  for (const { schedule, writes } of played) {
    for (; (numbers[drawn] ?? Number.POSITIVE_INFINITY) < start + 2 * writes; drawn++) {
      const offset = (numbers[drawn] ?? 0) - start
      longer.push([...schedule, { write: 1 + (offset >> 1), when: offset % 2 === 0 ? 'before' : 'after' }])
    }
    start += 2 * writes
  }
  return longer
}

/** One to three deaths in a row, `count` in all, each at an instant of the time that a life takes. */
function drawInstants(count: number, lastedMs: number, random: () => number): Schedule[] {
  const schedules: Schedule[] = []
  for (let left = count; left > 0; ) {
    const deaths = Math.min(left, 1 + Math.floor(random() * 3))
    schedules.push(Array.from({ length: deaths }, () => ({ afterMs: Math.round(random() * lastedMs * 10) / 10 })))
    left -= deaths
  }
  return schedules
}

/** The program that never dies. Errors: it fails, comes to no end, writes nothing, or does something else each time. */
async function playReference(play: Play): Promise<{ readonly reference: Reference; readonly lastedMs: number }> {
  assertExplorable(await play([])) // and what is loaded on demand is there from now on, so that it takes no time
  const played = await play([])
  const [reference, again] = [toReference(played), toReference(await play([], { isOther: true }))]
  const difference = findNondeterminism(reference, again)
  if (difference !== undefined)
    throw new Error(
      `The subject does not do the same each time, so nothing can be held against it: ${difference}. Take time, random numbers and ids from steps or the input.`,
    )
  const isTimed = isDeepStrictEqual(reference.times, again.times) // else it waits for as long as chance has it
  return { reference: isTimed ? reference : { ...reference, times: undefined }, lastedMs: played.lastedMs ?? 0 }
}

/** Errors: an `Error` that says what to do. */
function assertExplorable({ end, lives }: Scenario): void {
  if (end.type === 'rejected')
    throw new Error(
      `The subject fails without any death: ${toMessage(end.error)} Let it resolve; what is expected to fail has to be caught.`,
      {
        cause: end.error,
      },
    )
  if (end.type === 'late')
    throw new Error('The subject comes to no end in time, without any death. Give it a longer `timeoutMs`, or less to do.')
  if (end.type === 'stuck')
    throw new Error(
      'The subject is stuck without any death: it has not resolved, and nothing is under way. Let it send and answer what it waits for, by `outside.once`.',
    )
  if (lives[0]?.writes === 0)
    throw new Error(
      'The subject writes nothing, so there is nothing to explore. Open the runtime with `life.open()` and do something durable in it.',
    )
}

function findNondeterminism(one: Reference, other: Reference): string | undefined {
  const [end, otherEnd] = [one.scenario.end, other.scenario.end]
  if (!isDeepStrictEqual(end, otherEnd)) return `its end differs: ${describeDifference(otherEnd, end)}`
  for (const [what, first, second] of [
    ['runs', one.runs, other.runs],
    ['effects', one.effects, other.effects],
  ] as const) {
    const [a, b] = [Object.fromEntries<unknown>(first), Object.fromEntries<unknown>(second)]
    if (!isDeepStrictEqual(a, b)) return `its ${what} differ: ${describeDifference(b, a)}`
  }
  if (one.requests !== other.requests) return `it asks models ${other.requests} times instead of ${one.requests}`
  return undefined // how often it writes may depend on how what happens at once interleaves
}

/** Which of the acknowledgements that came before a death make up for what is wrong when the client sends that again: these were lost (P1). */
async function findLost(play: Play, scenario: Scenario, problems: readonly Problem[], reference: Reference): Promise<Problem[]> {
  if (!problems.some(({ kind }) => kind === 'divergedState' || kind === 'stuckRun')) return []
  const acknowledged = new Set<string>()
  for (const { seen, left } of scenario.lives)
    if (left !== undefined) for (const one of seen) if (one.type === 'acknowledged') acknowledged.add(one.name)
  const heals = async (forget: (name: string) => boolean): Promise<boolean> =>
    judge(await play(scenario.schedule, { forget }), reference).problems.length === 0
  const lost: string[] = []
  for (const name of acknowledged) if (await heals((other) => other === name)) lost.push(name)
  if (lost.length === 0 && acknowledged.size > 1 && (await heals(() => true))) lost.push(...acknowledged)
  return lost.map((name) => ({
    kind: 'lostEvent',
    text: `\`${name}\` was acknowledged before a death and is lost: when it is sent once more, all is well.`,
  }))
}
