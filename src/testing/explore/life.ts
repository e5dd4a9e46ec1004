import { type Encryption, unlockStore } from '../../persistence/encrypted-store.ts'
import type { Store } from '../../persistence/store.ts'
import type { RuntimeEvent } from '../../runtime/events.ts'
import { openRuntime } from '../../runtime/open.ts'
import type { Runtime } from '../../runtime/runtime.ts'
import { createDeath } from './death.ts'
import { createMortalStore } from './mortal-store.ts'
import { createOutside, type Seen } from './outside.ts'
import { createPulse } from './pulse.ts'
import { awaitRest } from './rest.ts'
import type { WriteDeath } from './schedule.ts'
import type { CrashSubject } from './subject.ts'
import { createVirtualClock, type WorldTime } from './virtual-clock.ts'

/** How a life ended. `stuck`: nothing is under way that could bring it on. `late`: it took too long. */
export type LifeEnd =
  | { readonly type: 'died' }
  | { readonly type: 'resolved'; readonly output: unknown }
  | { readonly type: 'rejected'; readonly error: unknown }
  | { readonly type: 'stuck' | 'late' }

/** A life that is over. */
export interface Life {
  readonly end: LifeEnd
  /** How many writes it began. */
  readonly writes: number
  /** What its runtime promised to keep: see `RuntimeSettings`. */
  readonly durability: 'disk' | 'process'
}

/** What a life is lived in. */
export interface LifeRoom {
  readonly number: number
  readonly store: Store
  readonly time: WorldTime
  readonly acknowledged: Set<string>
  /** Hears what the outside saw, and what the runtime told, as long as the life lasts. */
  readonly see: (seen: Seen | SeenEvent) => void
  /** Hears the keys that the store is opened with, before it is. */
  readonly unlock: (keys: readonly Uint8Array[]) => void
  readonly fate: WriteDeath | undefined
  /** How long it may take that does not die, in milliseconds. */
  readonly timeoutMs: number
  /** Called instead of just ending when the life dies. */
  readonly onDeath?: (() => void) | undefined
}

/** Something was begun: a call by its key, or a checkpoint of a flow by its name. */
export type SeenEvent =
  | { readonly type: 'call'; readonly run: string; readonly key: string; readonly kind: string; readonly inDoubt: boolean }
  | { readonly type: 'checkpoint'; readonly run: string; readonly name: string; readonly kind: string; readonly reason: string }

/** The key of its hashes is the same each time: ids of runs and names of steps are made with it. */
async function unlock(store: Store, encryption: Encryption | undefined): Promise<Store> {
  const unlocked = await unlockStore(store, encryption)
  return encryption === undefined ? unlocked : { ...unlocked, hashKey: HASH_KEY }
}
const HASH_KEY = new Uint8Array(32)

/** Lives one life to its end. Never rejects because of the subject. */
export async function live(subject: CrashSubject, room: LifeRoom): Promise<Life> {
  const death = createDeath()
  const pulse = createPulse()
  const clock = createVirtualClock(room.time, death)
  const store = createMortalStore(room.store, death, pulse, room.fate)
  let runtime: Runtime | undefined
  let isOpened = false
  let durability: Life['durability'] = 'disk'
  const ended = Promise.withResolvers<LifeEnd>()
  death.onDeath = () => {
    room.onDeath?.()
    ended.resolve({ type: 'died' })
  }
  const see = (seen: Seen | SeenEvent): void => {
    pulse.beat()
    room.see(seen)
  }
  const onEvent = (event: RuntimeEvent): void => {
    pulse.beat()
    if (event.type === 'call.started')
      see({ type: 'call', run: event.runId, key: event.key, kind: event.kind, inDoubt: event.inDoubt })
    else if (event.type === 'checkpoint.started')
      see({ type: 'checkpoint', run: event.runId, name: event.checkpoint, kind: event.kind, reason: event.reason })
  }
  const start = async (): Promise<unknown> => {
    const output = await subject({
      number: room.number,
      async open(options = {}) {
        if (isOpened)
          throw new Error(
            'A life of an explored program opens its runtime once. Keep what `life.open()` gave, and use it everywhere.',
          )
        isOpened = true
        durability = options.durability ?? 'disk'
        const { encryption } = options
        if (encryption !== undefined) room.unlock([encryption.key, ...(encryption.previousKeys ?? [])])
        const opened = await death.mortal(
          unlock(store, encryption).then((unlocked) =>
            openRuntime({
              ...options,
              store: unlocked,
              encryption: undefined,
              clock,
              log: 'silent',
              onEvent(event) {
                if (death.isDead) return
                onEvent(event)
                options.onEvent?.(event)
              },
            }),
          ),
        )
        runtime = opened
        return opened
      },
      outside: createOutside({ death, pulse, clock, acknowledged: room.acknowledged, see }),
    })
    await runtime?.close()
    return output
  }
  const late = setTimeout(() => ended.resolve({ type: 'late' }), room.timeoutMs)
  const stopWatching = awaitRest(pulse, {
    onRest() {
      if (!store.isHeld) return clock.jump()
      death.die()
      return true
    },
    onStuck: () => ended.resolve({ type: 'stuck' }),
  })
  start().then(
    (output) => ended.resolve({ type: 'resolved', output }),
    (error) => ended.resolve({ type: 'rejected', error }),
  )
  const end = await ended.promise
  death.onDeath = undefined
  death.die() // whatever is left of it has no effect any more
  stopWatching()
  clearTimeout(late)
  return { end, writes: store.writes, durability }
}
