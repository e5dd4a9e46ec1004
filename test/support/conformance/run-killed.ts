import { createReporter } from '../../../src/observe/reporter.ts'
import { openLevelStore } from '../../../src/persistence/leveldb.ts'
import { createRuntime } from '../../../src/runtime/runtime.ts'
import type { ConformanceCase, Outcome } from './case.ts'
import {
  createDurableWorld,
  type DurableWorld,
  hearRun,
  type Life,
  perform,
  settleLife,
  startRun,
  toOutcome,
} from './durable-world.ts'
import { Death, type Moment, toMortalStore } from './mortal-store.ts'
import { drain } from './run-plain.ts'

/** Puts a runtime together as `openRuntime` does, on a store that dies. The only place that knows how. */
async function open(world: DurableWorld, directory: string, dieAt: number, moment: Moment): Promise<Life> {
  const levelStore = await openLevelStore(directory)
  const store = toMortalStore(levelStore, dieAt, moment)
  const process = world.clock.ofProcess()
  const runtime = createRuntime({
    store,
    durability: 'process',
    clock: process.clock,
    machines: [world.machine],
    retention: undefined,
    autoResume: true,
    resumeConcurrency: 32,
    idle: { afterMs: 30_000, maxIdle: 1_000 },
    inspect: undefined,
    onEvent: undefined,
    reporter: createReporter({ format: 'silent', now: process.clock.now }),
  })
  return {
    runtime,
    run: hearRun(world, runtime),
    death: store.death,
    async end() {
      process.die()
      await levelStore.close()
    },
  }
}

/** When processes die. */
export interface Fate {
  /** At which of its writes the first one dies. */
  readonly dieAt: number
  readonly moment: Moment
  /** The ones that follow die at that write too, until one comes through without. Default: they live. */
  readonly again?: boolean
}

export interface Killed {
  readonly outcome: Outcome
  readonly deaths: number
}

/** More would be no progress. */
const MOST_DEATHS = 200

/** Runs a case in a process that dies at a durable write, and goes on in another. */
export async function runKilled(
  conformanceCase: ConformanceCase,
  directory: string,
  { dieAt, moment, again = false }: Fate,
): Promise<Killed> {
  const world = createDurableWorld(conformanceCase)
  let life = await open(world, directory, dieAt, moment)
  let deaths = 0
  /** Does `work`; if the process dies over it, does it again in the next. */
  const survive = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof Death) || deaths === MOST_DEATHS) throw error
        deaths++
        await life.end()
        life = await open(world, directory, again ? dieAt : 0, moment)
        // What was on its way comes to its end, or begins, before the client is back.
        await drain()
        await Promise.race([life.runtime.resume(), life.death]).catch((death: unknown) => {
          if (!(death instanceof Death)) throw death
        })
        await drain()
      }
    }
  }
  try {
    await survive(async () => {
      await startRun(world, life)
      await settleLife(life)
    })
    for (const [index, step] of conformanceCase.script.entries()) {
      const until = world.clock.now() + ('advance' in step ? step.advance : 0)
      await survive(() => perform(world, life, step, `event-${index}`, until))
    }
    return { outcome: await survive(() => toOutcome(world, life, [])), deaths }
  } finally {
    await life.end()
  }
}
