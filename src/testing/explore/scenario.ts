import type { Store } from '../../persistence/store.ts'
import { createImage } from './image.ts'
import { type LifeEnd, live, type SeenEvent } from './life.ts'
import type { Seen } from './outside.ts'
import { createRandom } from './random.ts'
import { readRecords, type StoreRecords } from './records.ts'
import { outlast } from './rest.ts'
import type { Schedule } from './schedule.ts'
import type { CrashSubject } from './subject.ts'
import { unlockReader } from './unlocked-reader.ts'

/** One life as it is judged. */
export interface LivedLife {
  readonly writes: number
  /** What time it was in the world under test when it ended. */
  readonly endedAt: number
  readonly seen: readonly (Seen | SeenEvent)[]
  /** What the store held of the journals when it died; `undefined` if it did not. */
  readonly left: StoreRecords | undefined
}

/** A program from its beginning to its end, over all of its deaths. */
export interface Scenario {
  readonly schedule: Schedule
  readonly lives: readonly LivedLife[]
  readonly end: Exclude<LifeEnd, { readonly type: 'died' }>
  /** What the store held at the end. */
  readonly records: StoreRecords
}

export interface ScenarioSettings {
  /** What a life has instead of the store under test: a store that is to be explored itself. */
  readonly wrap?: ((store: Store) => Store) | undefined
  /** What `Math.random` gives, life by life: waits between retries are drawn with it, and a schedule has to be the same each time it is played. */
  readonly seed: number
  readonly timeoutMs: number
  /** Acknowledgements that the client forgets when a life ends. Default: none. */
  readonly forget?: ((name: string) => boolean) | undefined
}

/** The same beginning each time. */
export const begin = Date.UTC(2030, 0, 1)

/** Lets a subject live, die as the schedule says, and live on. Never rejects because of the subject. */
export async function runScenario(subject: CrashSubject, schedule: Schedule, settings: ScenarioSettings): Promise<Scenario> {
  const random = Math.random
  try {
    return await playLives(subject, schedule, settings)
  } finally {
    Math.random = random
  }
}

async function playLives(subject: CrashSubject, schedule: Schedule, settings: ScenarioSettings): Promise<Scenario> {
  const image = await createImage()
  const before = process.getActiveResourcesInfo().length
  const time = { now: begin }
  const lives: LivedLife[] = []
  const acknowledged = new Set<string>()
  const keys = new Set<Uint8Array>()
  for (;;) {
    const seen: (Seen | SeenEvent)[] = []
    Math.random = createRandom(settings.seed + lives.length)
    const fate = schedule[lives.length]
    if (fate !== undefined && 'afterMs' in fate)
      throw new TypeError(
        'Expected `schedule` to have deaths at writes only: at an instant only a process dies, with `process: true`',
      )
    const { end, writes, durability } = await live(subject, {
      number: lives.length + 1,
      store: settings.wrap?.(image.open()) ?? image.open(),
      time,
      acknowledged,
      see: (one) => void seen.push(one),
      unlock(used) {
        for (const key of used) keys.add(key)
      },
      fate,
      timeoutMs: settings.timeoutMs,
    })
    await outlast(before)
    if (end.type === 'died' && durability === 'disk') await image.cut()
    const reader = await unlockReader(image.reader, keys)
    if (end.type !== 'died') {
      lives.push({ writes, endedAt: time.now, seen, left: undefined })
      return { schedule, lives, end, records: await readRecords(reader, 'all') }
    }
    lives.push({ writes, endedAt: time.now, seen, left: await readRecords(reader, 'steps') })
    for (const name of acknowledged) if (settings.forget?.(name)) acknowledged.delete(name)
  }
}
