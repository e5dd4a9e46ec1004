import type { Clock } from '../runtime/clock.ts'

/** How the clock begins. */
export interface TestClockOptions {
  /** The time that it begins with, in epoch milliseconds. Default: 2030-01-01T00:00:00Z. */
  readonly now?: number | undefined
}

/** A clock that moves by hand. Give it to `openRuntime`, or to XState's `createActor`. */
export interface TestClock extends Clock {
  /**
   * Moves the time on by `ms` and calls the timeouts that come due on the way, also those set meanwhile, in order and each at its own time. After each, promises
   * and everything else that waits for no outside world run to their end. It does not wait for what takes real time: commits to a disk, processes,
   * network. For that, await what they lead to: `await run.waitFor(…)`. So a delay that is only set once such a commit is done counts from the
   * time at the end. A second call begins when the first has ended. Rejects with what a timeout throws; the time stands where it threw.
   */
  advance(ms: number): Promise<void>
  /**
   * Puts the clock to `now`, also back, as an administrator or a machine that slept does: no time passes for the timeouts, each still waits
   * as long as it had to.
   */
  set(now: number): void
  /** How many timeouts are set. */
  readonly pending: number
}

interface Timeout {
  readonly fn: () => void
  /** In terms of the time that has passed, which `set` does not change. */
  readonly dueAt: number
}

/**
 * A clock for tests: a year passes in a moment. A timeout of 0 ms is due when it is set, so it comes by itself, in the next turn of the event loop: what is
 * overdue when a runtime opens needs no `advance`.
 *
 * @example
 * ```ts
 * const clock = testClock()
 * await using runtime = await openRuntime({ directory, machines: [order], clock })
 * const run = await runtime.start(order, { id: 'order-1', input })
 * await clock.advance(30 * 24 * 3_600_000)
 * await run.waitFor('expired')
 * ```
 */
export function testClock({ now: start = Date.UTC(2030, 0, 1) }: TestClockOptions = {}): TestClock {
  const timeouts = new Set<Timeout>()
  let time = assertNumber('now', start, -Infinity)
  let passedMs = 0
  let last: Promise<void> = Promise.resolve()

  const pass = (ms: number): void => {
    passedMs += ms
    time += ms
  }
  /** The first that is due; of equals, the one that was set first. */
  const next = (until: number): Timeout | undefined => {
    let first: Timeout | undefined
    for (const timeout of timeouts)
      if (timeout.dueAt <= until && (first === undefined || timeout.dueAt < first.dueAt)) first = timeout
    return first
  }
  const fire = (timeout: Timeout): void => {
    timeouts.delete(timeout)
    timeout.fn()
  }
  const move = async (ms: number): Promise<void> => {
    const until = passedMs + ms
    await settle()
    for (let timeout = next(until); timeout !== undefined; timeout = next(until)) {
      pass(timeout.dueAt - passedMs)
      fire(timeout)
      await settle()
    }
    pass(until - passedMs)
  }

  return {
    now: () => time,
    setTimeout(fn, ms) {
      const timeout: Timeout = { fn, dueAt: passedMs + Math.max(0, Number.isNaN(ms) ? 0 : ms) }
      timeouts.add(timeout)
      if (timeout.dueAt === passedMs) setImmediate(() => timeouts.has(timeout) && fire(timeout))
      return timeout
    },
    clearTimeout(handle) {
      timeouts.delete(handle as Timeout) // what `setTimeout` above gave
    },
    async advance(ms) {
      assertNumber('ms', ms, 0)
      const moved = last.then(() => move(ms))
      last = moved.catch(() => {}) // whoever called hears of it
      await moved
    },
    set(now) {
      time = assertNumber('now', now, -Infinity)
    },
    get pending() {
      return timeouts.size
    },
  }
}

/** How many turns of the event loop what needs no outside world may take. */
const TURNS = 3

/** One promise for all turns: a year in a runtime is half a million timeouts. */
const settle = (): Promise<void> => new Promise((resolve) => turn(TURNS, resolve))

function turn(left: number, then: () => void): void {
  if (left === 0) then()
  else setImmediate(turn, left - 1, then)
}

function assertNumber(name: string, value: number, minimum: number): number {
  if (Number.isFinite(value) && value >= minimum) return value
  const range = minimum === 0 ? 'a finite number ≥ 0' : 'a finite number'
  throw new TypeError(`Expected \`${name}\` to be ${range}, got \`${String(value)}\` (${typeof value})`)
}
