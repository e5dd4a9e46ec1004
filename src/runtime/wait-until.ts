import type { TimerQueue } from './timer-queue.ts'

/** Resolves at `dueAt`, or when `signal` aborts; leaves no timer behind. It is for the caller to look which it was. */
export function waitUntil(timers: TimerQueue, dueAt: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (dueAt <= timers.now() || signal?.aborted) return resolve()
    const timer = timers.set(dueAt, () => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    })
    const onAbort = (): void => {
      timers.clear(timer)
      resolve()
    }
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}
