import type { Clock } from '../runtime/clock.ts'

/** A clock that stands still but when it is told: in a replay time passes as it did then. */
export interface StillClock extends Clock {
  /** Goes on to `time`, and calls what is due by then, each at its time. One that is past is left out. */
  moveTo(time: number): void
  /** Goes on by `ms`. */
  pass(ms: number): void
}

export function createStillClock(start: number): StillClock {
  let time = start
  const timeouts = new Map<object, { readonly dueAt: number; readonly fn: () => void }>()
  const moveTo = (until: number): void => {
    for (;;) {
      const due = [...timeouts].filter(([, { dueAt }]) => dueAt <= until).sort(([, a], [, b]) => a.dueAt - b.dueAt)[0]
      if (due === undefined) break
      const [handle, { dueAt, fn }] = due
      timeouts.delete(handle)
      time = Math.max(time, dueAt)
      fn()
    }
    time = Math.max(time, until)
  }
  return {
    now: () => time,
    setTimeout(fn, ms) {
      const handle = {}
      timeouts.set(handle, { dueAt: time + ms, fn })
      return handle
    },
    clearTimeout: (handle) => void timeouts.delete(handle as object), // what `setTimeout` above gave
    moveTo,
    pass: (ms) => moveTo(time + ms),
  }
}
