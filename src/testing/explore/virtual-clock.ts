import type { Clock } from '../../runtime/clock.ts'
import type { Death } from './death.ts'

/** The time of the world under test, in epoch milliseconds. It goes on from life to life. */
export interface WorldTime {
  now: number
}

/** The clock of one life: its timeouts are gone with it. */
export interface VirtualClock extends Clock {
  /** Moves the world's time to the next timeout and calls it. False: there is none. */
  jump(): boolean
}

interface Timeout {
  readonly fn: () => void
  readonly dueAt: number
}

export function createVirtualClock(time: WorldTime, death: Death): VirtualClock {
  const timeouts = new Set<Timeout>()
  const fire = (timeout: Timeout): void => {
    if (!timeouts.delete(timeout) || death.isDead) return
    timeout.fn()
  }
  return {
    now: () => time.now,
    setTimeout(fn, ms) {
      const timeout: Timeout = { fn, dueAt: time.now + Math.max(0, Number.isNaN(ms) ? 0 : ms) }
      timeouts.add(timeout)
      if (timeout.dueAt === time.now) setImmediate(fire, timeout)
      return timeout
    },
    clearTimeout(handle) {
      timeouts.delete(handle as Timeout) // what `setTimeout` above gave
    },
    jump() {
      let first: Timeout | undefined
      for (const timeout of timeouts) if (first === undefined || timeout.dueAt < first.dueAt) first = timeout
      if (first === undefined) return false
      time.now = Math.max(time.now, first.dueAt)
      fire(first)
      return true
    },
  }
}
