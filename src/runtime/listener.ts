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
