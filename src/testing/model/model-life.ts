import type { AnyStateMachine } from 'xstate'
import type { Store } from '../../persistence/store.ts'
import type { InspectionObserver } from '../../runtime/inspection.ts'
import { openRuntime } from '../../runtime/open.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import { createDeath } from '../explore/death.ts'
import { createMortalStore } from '../explore/mortal-store.ts'
import { createPulse, type Pulse } from '../explore/pulse.ts'
import { awaitRest } from '../explore/rest.ts'
import type { TestClock } from '../test-clock.ts'

/** Where a life ends: at the next write, which is lost, or which is on disk and nobody hears of it. */
export type EdgeDeath = 'before' | 'after'

/** A process that has the store open: a runtime that can die. */
export interface ModelLife {
  readonly runtime: Runtime
  readonly isDead: boolean
  /** Lets it die at its next write. */
  dieAtWrite(when: EdgeDeath): void
  die(): void
  /** Resolves when nothing is under way in it but what waits for time or somebody outside; at once when it dies. */
  rest(): Promise<void>
  close(): Promise<void>
}

/** Opens the runtime of a life. With `fate` it dies at its first write already. */
export async function openLife(
  store: Store,
  room: { readonly machine: AnyStateMachine; readonly clock: TestClock; readonly inspect: InspectionObserver },
  fate?: EdgeDeath,
): Promise<ModelLife> {
  const death = createDeath()
  const pulse = createPulse()
  const died = Promise.withResolvers<void>()
  death.onDeath = died.resolve
  let nextFate = fate
  const fated: Store = {
    ...store,
    async write(operations, options) {
      const ends = operations.length > 0 ? nextFate : undefined
      if (ends !== 'before') await store.write(operations, options)
      if (ends !== undefined) death.die()
    },
  }
  const { clock } = room
  const runtime = await openRuntime({
    store: createMortalStore(fated, death, pulse),
    machines: [room.machine],
    log: 'silent',
    clock: {
      now: () => clock.now(),
      setTimeout: (fn, ms) => clock.setTimeout(() => death.isDead || fn(), ms),
      clearTimeout: (handle) => clock.clearTimeout(handle),
    },
    inspect: room.inspect,
    onEvent: () => pulse.beat(),
  })
  return {
    runtime,
    get isDead() {
      return death.isDead
    },
    dieAtWrite(when) {
      nextFate = when
    },
    die: death.die,
    rest: () => Promise.race([toRest(pulse), died.promise]),
    close: () => runtime.close(),
  }
}

function toRest(pulse: Pulse): Promise<void> {
  return new Promise((resolve) => {
    const stop = awaitRest(pulse, {
      onRest() {
        stop()
        resolve()
        return true
      },
      onStuck: () => {},
    })
  })
}
