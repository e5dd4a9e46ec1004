import type { Clock } from './clock.ts'

/** When what nobody uses is dropped from memory. */
export interface IdlePolicy {
  /** After that long without use. */
  readonly afterMs: number
  /** At most this many are kept; the ones that were not used for longest go first. */
  readonly maxIdle: number
}

/** What is in memory, the least recently used first. */
export interface Idle<T> {
  add(item: T): void
  touch(item: T): void
  remove(item: T): void
  close(): void
}

/** `release` lets go of an item and says whether it could: what is busy stays. */
export function createIdle<T>(clock: Clock, { afterMs, maxIdle }: IdlePolicy, release: (item: T) => boolean): Idle<T> {
  /** Since when it was not used, as far as that has been looked at; in that order. */
  const since = new Map<T, number>()
  /** What was used since it was looked at. */
  const used = new Set<T>()
  let armed: unknown

  const tryRelease = (item: T): void => {
    since.delete(item)
    if (used.delete(item) || !release(item)) since.set(item, clock.now())
  }
  const sweep = (): void => {
    armed = undefined
    const time = clock.now()
    for (const [item, usedAt] of [...since]) {
      if (usedAt <= time && time - usedAt < afterMs) break
      tryRelease(item)
    }
    arm()
  }
  const arm = (): void => {
    if (armed !== undefined || since.size === 0) return
    armed = clock.setTimeout(sweep, Math.max(1, Math.min(afterMs, 2 ** 31 - 1)))
    // What is only kept in memory does not keep the process.
    if (typeof armed === 'object' && armed !== null && 'unref' in armed && typeof armed.unref === 'function') armed.unref()
  }
  return {
    add(item) {
      since.delete(item)
      since.set(item, clock.now())
      let tries = since.size - maxIdle
      for (const oldest of since.keys()) {
        if (tries-- <= 0 || oldest === item) break
        tryRelease(oldest)
        if (tries > 2) tries = 2 // what is busy is not asked again and again
      }
      arm()
    },
    touch(item) {
      used.add(item)
    },
    remove(item) {
      since.delete(item)
      used.delete(item)
    },
    close() {
      since.clear()
      used.clear()
      if (armed !== undefined) clock.clearTimeout(armed)
      armed = undefined
    },
  }
}
