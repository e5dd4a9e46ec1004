import type { Clock } from '../../../src/runtime/clock.ts'

/** A clock that moves when it is told to. It serves XState as well. */
export interface FakeClock extends Clock {
  /**
   * Moves to `time` through all that is due until then, each at its own time; `settle` lets what it set off come to rest. Further than an hour, the
   * computer sleeps meanwhile: the clock jumps, and what is due until then is late.
   */
  advanceTo(time: number, settle: () => Promise<void>): Promise<void>
  /** The same clock for one process: once that is dead, nothing that it had set goes off. */
  ofProcess(): { readonly clock: Clock; die(): void }
}

interface Timer {
  readonly fn: () => void
  readonly dueAt: number
}

const HOUR = 3_600_000

export function createFakeClock(time = Date.UTC(2030, 0, 1)): FakeClock {
  const timers = new Set<Timer>()
  let now = time
  const clock: Clock = {
    now: () => now,
    setTimeout(fn, ms) {
      const timer: Timer = { fn, dueAt: now + Math.max(0, ms) }
      timers.add(timer)
      return timer
    },
    clearTimeout(handle) {
      timers.delete(handle as Timer) // what `setTimeout` above gave
    },
  }
  return {
    ...clock,
    async advanceTo(until, settle) {
      if (until - now > HOUR) now = until
      for (;;) {
        let next: Timer | undefined
        for (const timer of timers) if (timer.dueAt <= until && (next === undefined || timer.dueAt < next.dueAt)) next = timer
        if (next === undefined) break
        timers.delete(next)
        now = Math.max(now, next.dueAt)
        next.fn()
        await settle()
      }
      now = Math.max(now, until)
    },
    ofProcess() {
      const own = new Set<unknown>()
      let isDead = false
      return {
        clock: {
          now: clock.now,
          setTimeout(fn, ms) {
            if (isDead) return undefined
            const handle = clock.setTimeout(() => {
              own.delete(handle)
              fn()
            }, ms)
            own.add(handle)
            return handle
          },
          clearTimeout(handle) {
            own.delete(handle)
            clock.clearTimeout(handle)
          },
        },
        die() {
          isDead = true
          for (const handle of own) clock.clearTimeout(handle)
        },
      }
    },
  }
}
