import assert from 'node:assert/strict'
import { isPerdureError, type Run, type Runtime } from 'perdure'
import type { AnyEventObject, AnyStateMachine } from 'xstate'
import { type ConformanceCase, createWorld, type OpenWorld, type Outcome, type Step } from './case.ts'
import { createFakeClock, type FakeClock } from './fake-clock.ts'
import { type NormalSnapshot, toNormalSnapshot } from './normal-snapshot.ts'
import { drain, RUN_ID } from './run-plain.ts'

/** A process in which the run lives, for a while. */
export interface Life {
  readonly runtime: Runtime
  readonly run: Run
  /** What is in memory goes away. */
  end(): Promise<void>
  /** Rejects when the process dies; never settles while it lives. */
  readonly death: Promise<never>
}

/** What outlives the processes: the clock, the outside, and what the listeners have heard. */
export interface DurableWorld {
  readonly conformanceCase: ConformanceCase
  readonly machine: AnyStateMachine
  readonly world: OpenWorld
  readonly clock: FakeClock
  readonly emitted: AnyEventObject[]
}

export function createDurableWorld(conformanceCase: ConformanceCase): DurableWorld {
  const world = createWorld()
  return {
    conformanceCase,
    get machine() {
      return conformanceCase.machine(world)
    },
    world,
    clock: createFakeClock(),
    emitted: [],
  }
}

/** The run in a runtime that was just opened. Its listener is there before anything can be emitted. */
export function hearRun({ emitted }: DurableWorld, runtime: Runtime): Run {
  const run = runtime.get(RUN_ID)
  run.on('*', (event: AnyEventObject) => emitted.push(event))
  return run
}

/** Starts the run; once more, it is the same run. */
export async function startRun({ machine, conformanceCase }: DurableWorld, { runtime, death }: Life): Promise<void> {
  await Promise.race([runtime.start(machine.id, { id: RUN_ID, input: conformanceCase.input }), death])
}

/** Everything that has work is in memory, has done it, and what it did is on disk. */
export async function settleLife({ runtime, run, death }: Life): Promise<void> {
  const settle = async (): Promise<void> => {
    for (let round = 0; round < 2; round++) {
      await drain()
      await runtime.resume()
      await drain()
      await run.snapshot()
    }
  }
  await Promise.race([settle(), death])
}

/**
 * Does a step, or does it again after a death: an event keeps its id, and the clock moves to `until`, however often that takes. An event for a run that
 * has come to its end is told so; XState alone says nothing.
 */
export async function perform(world: DurableWorld, life: Life, step: Step, name: string, until: number): Promise<void> {
  if ('send' in step) {
    const sent = life.run.send(step.send, { id: name }).catch((error: unknown) => {
      if (!isPerdureError(error, 'RUN_ENDED')) throw error
    })
    await Promise.race([sent, life.death])
  } else if ('advance' in step) await world.clock.advanceTo(until, () => settleLife(life))
  else world.world.open(step.settle)
  await settleLife(life)
}

export async function readSnapshot({ run, death }: Life): Promise<NormalSnapshot> {
  return toNormalSnapshot(await Promise.race([run.snapshot(), death]))
}

/** What became of the run, as its handle tells. */
export async function toOutcome(
  { emitted, world }: DurableWorld,
  life: Life,
  snapshots: readonly NormalSnapshot[],
): Promise<Outcome> {
  const final = await readSnapshot(life)
  const { status, error } = final
  if (status === 'error')
    await assert.rejects(life.run.done(), (thrown: unknown) => {
      assert.equal(thrown instanceof Error ? thrown.message : thrown, error)
      return true
    })
  return { snapshots, final, emitted, output: status === 'done' ? await life.run.done() : undefined, effects: world.effects }
}
