import type { Clock } from './clock.ts'
import { tell } from './listener.ts'

/** One deadline in a {@link TimerQueue}. */
export interface TimerHandle {
  readonly dueAt: number
}

/**
 * All deadlines of a process behind one timeout of its clock (P8). An overdue one fires at once, in the order of the deadlines and then of setting. No delay is
 * too long. The clock is looked at once a minute at least, so one that has jumped forwards (the machine slept) is noticed. After a clock has gone back, a deadline
 * comes as long after it was set as it was to come; at most what had passed since the clock was last looked at is waited for twice.
 */
export interface TimerQueue {
  /**
   * The time to reckon deadlines from, in epoch milliseconds: that of the clock, but it does not go back with a clock that does. What was to happen in an hour
   * happens in an hour. A clock that is put forwards again first makes up for having gone back.
   */
  now(): number
  /**
   * Calls `fire` once, at `dueAt` or as soon as possible after it; never before `set` returns. What is due fires in one pass; an error of one becomes an
   * `uncaughtException` and does not stop the others. Errors: a `TypeError` when `dueAt` or the time of the clock is no number.
   */
  set(dueAt: number, fire: () => void): TimerHandle
  /** What has fired, or was cleared, is left alone. */
  clear(handle: TimerHandle): void
  /** Nothing fires from now on. */
  close(): void
}

/** The longest wait for a timeout of the clock. */
const MAX_WAIT_MS = 60_000
/** A difference between clock and timeouts up to this is not a jump: timeouts are not exact. */
const TOLERANCE_MS = 1_000

interface Timer extends TimerHandle {
  readonly fire: () => void
  readonly order: number
  /** Where it is in the heap; -1 when it is not. */
  index: number
  isCleared: boolean
}

/** Errors: a `TypeError` when the time of the clock is no finite number. */
export function createTimerQueue(clock: Clock): TimerQueue {
  /** A binary heap: the earliest first. */
  const heap: Timer[] = []
  /** `until`: the time that it is when the timeout comes back. */
  let armed: { readonly handle: unknown; readonly waitMs: number; readonly until: number } | undefined
  let orders = 0
  let isFiring = false
  let isClosed = false

  const look = (): number => {
    const time = clock.now()
    if (!Number.isFinite(time)) throw new TypeError(`Expected \`clock.now()\` to be a finite number, got \`${String(time)}\``)
    return time
  }
  /** The latest time that was given out. */
  let latest = look()
  /** How far the clock has gone back, as far as that was noticed. */
  let behindMs = 0

  /** Takes note of jumps. `until`: what it should be at the latest. */
  const reckon = (until: number | undefined): number => {
    const read = look()
    const time = read + behindMs
    const aheadMs = until === undefined ? 0 : time - until
    if (aheadMs > TOLERANCE_MS) behindMs -= Math.min(behindMs, aheadMs)
    else if (latest - time > TOLERANCE_MS) behindMs += latest - time
    latest = Math.max(latest, read + behindMs)
    return latest
  }
  const now = (): number => {
    const before = behindMs
    reckon(armed?.until)
    if (behindMs > before && armed !== undefined) {
      // How much of the timeout had passed is not known, and what is set from now on reckons without it.
      disarm()
      arm()
    }
    return latest
  }

  const isBefore = (a: Timer, b: Timer): boolean => a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order)
  const place = (timer: Timer, index: number): void => {
    heap[index] = timer
    timer.index = index
  }
  /** Moves a timer from `index` to where it belongs. */
  const sift = (timer: Timer, index: number): void => {
    let at = index
    for (;;) {
      const parent = heap[(at - 1) >> 1]
      if (at === 0 || parent === undefined || !isBefore(timer, parent)) break
      place(parent, at)
      at = (at - 1) >> 1
    }
    for (;;) {
      const left = heap[2 * at + 1]
      const right = heap[2 * at + 2]
      const child = left !== undefined && right !== undefined && isBefore(right, left) ? right : left
      if (child === undefined || !isBefore(child, timer)) break
      const next = child.index
      place(child, at)
      at = next
    }
    place(timer, at)
  }
  const remove = (timer: Timer): void => {
    const { index } = timer
    timer.index = -1
    const last = heap.pop()
    if (last !== undefined && last !== timer) sift(last, index)
  }

  const disarm = (): void => {
    if (armed !== undefined) clock.clearTimeout(armed.handle)
    armed = undefined
  }
  const arm = (): void => {
    const first = heap[0]
    if (isFiring) return
    if (first === undefined) {
      disarm()
      return
    }
    const time = now()
    const leftMs = Math.max(0, first.dueAt - time)
    if (armed !== undefined && armed.waitMs === 0) return
    // Its whole wait counts, not what should be left of it: a clock that was put forwards does not hasten a timeout.
    if (armed !== undefined && armed.until <= first.dueAt && leftMs > 0 && armed.waitMs <= leftMs + TOLERANCE_MS) return
    disarm()
    const waitMs = Math.ceil(Math.min(leftMs, MAX_WAIT_MS))
    armed = { waitMs, until: time + waitMs, handle: clock.setTimeout(tick, waitMs) }
  }

  const tick = (): void => {
    if (armed === undefined) return
    const { until } = armed
    armed = undefined
    latest = Math.max(latest, until) // the timeout has waited for all of its time, whatever the clock says
    const time = reckon(until)
    const last = orders // what is set meanwhile has its turn in the next pass
    isFiring = true
    const later: Timer[] = []
    for (let first = heap[0]; first !== undefined && first.dueAt <= time; first = heap[0]) {
      remove(first)
      if (first.order < last) tell(first.fire, undefined)
      else later.push(first)
      if (isClosed) return
    }
    for (const timer of later) if (!timer.isCleared) sift(timer, heap.length)
    isFiring = false
    arm()
  }

  return {
    now,
    set(dueAt, fire) {
      if (typeof dueAt !== 'number' || Number.isNaN(dueAt))
        throw new TypeError(`Expected \`dueAt\` to be a time in epoch milliseconds, got \`${String(dueAt)}\` (${typeof dueAt})`)
      look() // before it is taken: what is refused does not fire
      const timer: Timer = { dueAt, fire, order: orders++, index: -1, isCleared: false }
      if (isClosed) return timer
      sift(timer, heap.length)
      arm()
      return timer
    },
    clear(handle) {
      const timer = handle as Timer // `set` made it
      timer.isCleared = true
      if (timer.index < 0) return
      remove(timer)
      arm()
    },
    close() {
      isClosed = true
      heap.length = 0
      disarm()
    },
  }
}
