import { setTimeout as delay } from 'node:timers/promises'

/** Waits; rejects when the signal aborts. Injected where a test owns the clock. */
export type Sleep = (delayMs: number, signal: AbortSignal) => Promise<unknown>

/** The real clock. */
export const sleep: Sleep = (delayMs, signal) => delay(delayMs, undefined, { signal })

/** What settles never. */
export const forever: Promise<never> = new Promise(() => {})

/** Settles as `work` does, or rejects with the signal's reason as soon as it aborts. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([aborted.promise, work])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Waits for everything an answer lets wait for. */
export async function pauseBefore(
  answer: { readonly delayMs: number; readonly until: Promise<unknown> | undefined },
  alsoMs: number,
  wait: Sleep,
  signal: AbortSignal,
): Promise<void> {
  const delayMs = answer.delayMs + alsoMs
  if (delayMs > 0) await orAborted(wait(delayMs, signal), signal)
  if (answer.until !== undefined) await orAborted(answer.until, signal)
}
