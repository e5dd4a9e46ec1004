import { workThrough } from './crew.ts'
import { type CampaignSubject, listSubjects, type SubjectKind, toRandomSubject } from './subjects.ts'
import type { Job } from './worker.ts'

/** What is counted and has to be 0. */
export const counters = ['repeatedCalls', 'doubledEffects', 'lostEvents', 'divergedStates', 'stuckRuns'] as const

export type Counts = Readonly<Record<(typeof counters)[number], number>>

/** What became of a subject, in one process (`here`) or in many. */
export interface SubjectResult extends Counts {
  readonly name: string
  readonly kind: SubjectKind
  readonly how: Job['how']
  readonly writes: number
  readonly scenarios: number
  /** Of processes, by SIGKILL. */
  readonly deaths: number
  readonly inDoubt: number
  readonly reported: number
  readonly failures: readonly { readonly schedule: string; readonly problems: readonly string[] }[]
}

export interface CampaignPlan {
  readonly seed: number
  /** Scenarios in which lives end in one process, and deaths of processes, at least. */
  readonly scenarios: number
  readonly deaths: number
  readonly workers: number
  /** Default: all that there are, and random machines. */
  readonly subjects?: readonly CampaignSubject[] | undefined
  readonly onResult?: ((result: SubjectResult, done: Totals) => void) | undefined
}

export interface Totals extends Counts {
  readonly subjects: number
  readonly machines: number
  readonly scenarios: number
  readonly deaths: number
}

/** Random machines at first; more of them make up for subjects that have not so many schedules as they were to have. */
const RANDOM_MACHINES = 24
/** Agents and flows have more to lose than a machine of three states. */
const weights: Readonly<Record<SubjectKind, number>> = { agents: 2, flows: 2, machines: 1 }

export async function runCampaign(plan: CampaignPlan): Promise<SubjectResult[]> {
  const { seed, workers, subjects } = plan
  const results: SubjectResult[] = []
  let random = seed * 1_000
  const drawRandom = (count: number): CampaignSubject[] => Array.from({ length: count }, () => toRandomSubject(random++))
  const first = subjects ?? [...listSubjects(), ...drawRandom(RANDOM_MACHINES)]

  for (const how of ['here', 'processes'] as const) {
    const size = how === 'here' ? plan.scenarios : plan.deaths
    const toSize = (result: SubjectResult): number => (how === 'here' ? result.scenarios : result.deaths)
    let done = 0
    let next = first
    while (done < size) {
      const share = (size - done) / next.reduce((sum, { kind }) => sum + weights[kind], 0)
      const jobs = next.map((subject) => toJob(subject, how, seed, Math.ceil(share * weights[subject.kind])))
      let found = 0
      await workThrough(jobs, workers, ({ subject }, report) => {
        const { name, writes, scenarios, inDoubt, reported, failures } = report
        const { repeatedCalls, doubledEffects, lostEvents, divergedStates, stuckRuns } = report
        const result: SubjectResult = {
          name,
          kind: subject.kind,
          how,
          writes,
          scenarios: how === 'here' ? scenarios : 0,
          deaths: how === 'here' ? 0 : report.deaths,
          repeatedCalls,
          doubledEffects,
          lostEvents,
          divergedStates,
          stuckRuns,
          inDoubt,
          reported,
          failures,
        }
        results.push(result)
        found += toSize(result)
        plan.onResult?.(result, toTotals(results))
      })
      done += found
      if (subjects !== undefined) break // no others were asked for
      next = drawRandom(Math.min(RANDOM_MACHINES, Math.max(2, Math.ceil((size - done) / 150))))
    }
  }
  return results.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

const toJob = (
  subject: CampaignSubject,
  how: Job['how'],
  seed: number,
  budget: number,
): Job & { readonly subject: CampaignSubject } => ({
  name: subject.name,
  url: subject.url,
  seed,
  how,
  budget,
  subject,
})

export function toTotals(results: readonly SubjectResult[]): Totals {
  const sum = (key: (typeof counters)[number] | 'scenarios' | 'deaths'): number =>
    results.reduce((total, result) => total + result[key], 0)
  return {
    subjects: new Set(results.map(({ name }) => name)).size,
    machines: new Set(results.filter(({ kind }) => kind === 'machines').map(({ name }) => name)).size,
    scenarios: sum('scenarios'),
    deaths: sum('deaths'),
    repeatedCalls: sum('repeatedCalls'),
    doubledEffects: sum('doubledEffects'),
    lostEvents: sum('lostEvents'),
    divergedStates: sum('divergedStates'),
    stuckRuns: sum('stuckRuns'),
  }
}

export const isClean = (counts: Counts): boolean => counters.every((counter) => counts[counter] === 0)
