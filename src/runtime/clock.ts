/** Where a runtime has its time from. Injected, so that a test can move a year in a moment. */
export interface Clock {
  /** The time in epoch milliseconds. It may jump: forwards after a sleep of the machine, backwards when it is corrected. */
  now(): number
  /** Calls `fn` once, `ms` milliseconds from now. Never asked for more than `setTimeout` can do. */
  setTimeout(fn: () => void, ms: number): unknown
  clearTimeout(handle: unknown): void
}

/** The clock of the system. */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout(handle) {
    clearTimeout(handle as NodeJS.Timeout) // what `setTimeout` above gave
  },
}
