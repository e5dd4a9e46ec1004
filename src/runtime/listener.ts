/** Tells a listener of the user's. One that throws does not disturb what it listens to: its error becomes an `uncaughtException`. */
export function tell<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

/**
 * A promise that need not be awaited: its failure is told as an event too. Unheard, it would end the process, and every other
 * run with it.
 */
export function unheard<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
