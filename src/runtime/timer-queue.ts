import type { Clock } from './clock.ts'
import { tell } from './listener.ts'

/** One deadline in a {@link TimerQueue}. */
export interface TimerHandle {
  readonly dueAt: number
}

/**
 * All deadlines of a process behind one timeout of its clock (P8). An overdue one fires at once, in the order of the deadlines and then of setting. No delay is
 * too long. The clock is looked at once a minute at least, so one that has jumped forwards (the machine slept) is noticed.
 */
export interface TimerQueue {
  /**
   * The time to reckon deadlines from, in epoch milliseconds: that of the clock, but it does not go back with a clock that does. What was to happen in an hour
   * happens in an hour.
   */
  now(): number
  /** Calls `fire` once, at `dueAt` or as soon as possible after it; never before `set` returns. */
  set(dueAt: number, fire: () => void): TimerHandle
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

export function createTimerQueue(clock: Clock): TimerQueue {
  /** A binary heap: the earliest first. */
  const heap: Timer[] = []
  let armed: { readonly handle: unknown; readonly at: number; readonly waitMs: number; readonly dueAt: number } | undefined
  let orders = 0
  /** How far the clock has gone back, as far as that was noticed. */
  let behindMs = 0
  let isFiring = false
  let isClosed = false

  const read = (): number => {
    const time = clock.now()
    if (!Number.isFinite(time)) throw new TypeError(`Expected \`clock.now()\` to be a finite number, got \`${String(time)}\``)
    return time
  }
  const now = (): number => read() + behindMs

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
    if (isFiring || isClosed) return
    if (armed !== undefined && armed.dueAt === first?.dueAt) return
    disarm()
    if (first === undefined) return
    const waitMs = Math.min(Math.max(0, first.dueAt - now()), MAX_WAIT_MS)
    armed = { at: read(), waitMs, dueAt: first.dueAt, handle: clock.setTimeout(tick, waitMs) }
  }

  const tick = (): void => {
    if (armed === undefined) return
    // The timeout has waited for `waitMs`, whatever the clock says.
    const driftMs = read() - armed.at - armed.waitMs
    if (driftMs < -TOLERANCE_MS) behindMs -= driftMs
    else if (driftMs > TOLERANCE_MS) behindMs = Math.max(0, behindMs - driftMs)
    armed = undefined
    const time = now()
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
      if (Number.isNaN(dueAt)) throw new TypeError('Expected `dueAt` to be a time in epoch milliseconds, got `NaN`')
      const timer: Timer = { dueAt, fire, order: orders++, index: heap.length, isCleared: false }
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
