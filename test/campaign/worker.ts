/** A process of the campaign that explores one subject after the other, as it is told. */
import { isDeepStrictEqual } from 'node:util'
import { type ExploreOptions, exploreReport } from '../../src/testing/explore/explore-crashes.ts'
import type { CrashReport } from '../../src/testing/explore/report.ts'
import { runScenario } from '../../src/testing/explore/scenario.ts'
import type { CrashSubject } from '../../src/testing/explore/subject.ts'

export interface Job {
  readonly name: string
  readonly url: string
  readonly seed: number
  /** `here`: its lives are in this process, and end as the store says. `processes`: each is a process, and ends by SIGKILL. */
  readonly how: 'here' | 'processes'
  /** How many scenarios, or deaths, it is worth. */
  readonly budget: number
  /** Only this one. */
  readonly schedule?: string | undefined
}

export type JobResult = { readonly report: Omit<CrashReport, 'toString'> } | { readonly error: string }

const timeoutMs = 20_000

interface SubjectModule {
  readonly subject: CrashSubject
  /** What else it may come to where a step is reported as in doubt. Default: nothing else. */
  readonly accepts?: ExploreOptions['accepts']
}

async function explore({ name, url, seed, how, budget, schedule }: Job): Promise<CrashReport> {
  const module = (await import(url)) as SubjectModule // as all of the folder
  const { accepts = isDeepStrictEqual } = module
  const run = (options: ExploreOptions): Promise<CrashReport> =>
    exploreReport(new URL(url), { name, seed, timeoutMs, accepts, process: how === 'processes', concurrency: 1, ...options })
  if (schedule !== undefined) return run({ schedule })
  const { subject } = module
  const { lives } = await runScenario(subject, [], { timeoutMs, seed })
  const rest = Math.max(0, budget - 2 * (lives[0]?.writes ?? 0))
  if (how === 'processes') {
    // A third each: deaths at any instant, twice in a row, three times in a row.
    const instants = Math.ceil(rest / 3)
    return run({ instants, pairs: Math.ceil(rest / 3 / 2), triples: Math.ceil(rest / 3 / 3) })
  }
  const report = await run({ pairs: rest })
  if (report.scenarios >= budget) return report
  // Two deaths do not fill it: a third one, after all pairs.
  return run({ pairs: Number.POSITIVE_INFINITY, triples: budget - report.scenarios })
}

process.on('message', (job: Job) => {
  explore(job).then(
    (report) => process.send?.({ report } satisfies JobResult),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) } satisfies JobResult),
  )
})
process.on('disconnect', () => process.exit())
