import assert from 'node:assert/strict'
import { openRuntime, type RuntimeEvent } from 'perdure'
import type { ConformanceCase, Outcome } from './case.ts'
import {
  createDurableWorld,
  type DurableWorld,
  hearRun,
  type Life,
  perform,
  readSnapshot,
  settleLife,
  startRun,
  toOutcome,
} from './durable-world.ts'
import type { NormalSnapshot } from './normal-snapshot.ts'

const never = new Promise<never>(() => {})

async function open(world: DurableWorld, directory: string): Promise<Life> {
  const blocked: RuntimeEvent[] = []
  const runtime = await openRuntime({
    directory,
    machines: [world.machine],
    clock: world.clock,
    log: 'silent',
    durability: 'process',
    onEvent: (event) => {
      if (event.type === 'run.blocked') blocked.push(event)
    },
  })
  return {
    runtime,
    run: hearRun(world, runtime),
    death: never,
    async end() {
      await runtime.close()
      assert.deepEqual(blocked, [])
    },
  }
}

/** Runs a case through the public API, in one process. `reopened`: the runtime is closed and opened again after the start and after every step. */
export async function runDurable(
  conformanceCase: ConformanceCase,
  directory: string,
  { reopened = false }: { readonly reopened?: boolean } = {},
): Promise<Outcome> {
  const world = createDurableWorld(conformanceCase)
  const snapshots: NormalSnapshot[] = []
  let life = await open(world, directory)
  const look = async (): Promise<void> => {
    await settleLife(life)
    if (reopened) {
      await life.end()
      life = await open(world, directory)
      await settleLife(life)
    }
    snapshots.push(await readSnapshot(life))
  }
  try {
    await startRun(world, life)
    await look()
    for (const [index, step] of conformanceCase.script.entries()) {
      const until = world.clock.now() + ('advance' in step ? step.advance : 0)
      await perform(world, life, step, `event-${index}`, until)
      await look()
    }
    return await toOutcome(world, life, snapshots)
  } finally {
    await life.end()
  }
}
