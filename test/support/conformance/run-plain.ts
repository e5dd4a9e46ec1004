import { type AnyEventObject, createActor } from 'xstate'
import { type ConformanceCase, createWorld, type Outcome } from './case.ts'
import { createFakeClock } from './fake-clock.ts'
import { type NormalSnapshot, toNormalSnapshot } from './normal-snapshot.ts'

/** What the root is called, however it is run. */
export const RUN_ID = 'conformance'

/** Everything that promises set off has happened. */
export const drain = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Runs a case in XState alone: what all other ways of running are held against. */
export async function runPlain(conformanceCase: ConformanceCase): Promise<Outcome> {
  const { machine, input, script } = conformanceCase
  const world = createWorld()
  const clock = createFakeClock()
  const emitted: AnyEventObject[] = []
  const snapshots: NormalSnapshot[] = []
  const actor = createActor(machine(world), { id: RUN_ID, clock, input })
  actor.subscribe({ error: () => {} }) // it is in the snapshot
  actor.on('*', (event: AnyEventObject) => emitted.push(event))
  actor.start()
  await drain()
  snapshots.push(toNormalSnapshot(actor.getSnapshot()))
  for (const step of script) {
    if ('send' in step) actor.send(step.send)
    else if ('advance' in step) await clock.advanceTo(clock.now() + step.advance, drain)
    else world.open(step.settle)
    await drain()
    snapshots.push(toNormalSnapshot(actor.getSnapshot()))
  }
  const final = toNormalSnapshot(actor.getSnapshot())
  actor.stop()
  return { snapshots, final, emitted, output: final.output, effects: world.effects }
}
