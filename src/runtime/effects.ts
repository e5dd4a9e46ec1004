import type { StepOutcome } from '../actors/step.ts'

/**
 * The effects that are under way in this process, by key. One whose run was ended may go on, for it need not listen to its signal. When
 * its run is started again it is waited for, and what it comes to is its outcome: a call is never executed twice at once.
 */
export interface Effects {
  /** What the effect of that key comes to that is under way; `undefined` when there is none, or `signal` aborts first. */
  join<T>(key: string, signal: AbortSignal): Promise<StepOutcome<T> | undefined>
  /** Never rejects: what `execute` throws is an outcome. Not executed when `signal` has aborted by the time it could be. */
  run<T>(key: string, signal: AbortSignal, execute: () => T | Promise<T>): Promise<StepOutcome<T>>
}

export function createEffects(): Effects {
  const running = new Map<string, Promise<StepOutcome<unknown>>>()
  return {
    join<T>(key: string, signal: AbortSignal): Promise<StepOutcome<T> | undefined> {
      const outcome = running.get(key) as Promise<StepOutcome<T>> | undefined // the same call, and so of the same type
      if (outcome === undefined || signal.aborted) return Promise.resolve(undefined)
      return new Promise((resolve) => {
        const onAbort = (): void => resolve(undefined)
        signal.addEventListener('abort', onAbort, { once: true })
        void outcome.then((value) => {
          signal.removeEventListener('abort', onAbort)
          resolve(value)
        })
      })
    },
    async run<T>(key: string, signal: AbortSignal, execute: () => T | Promise<T>): Promise<StepOutcome<T>> {
      const earlier = (await running.get(key)) as StepOutcome<T> | undefined // the same call, and so of the same type
      if (earlier?.status === 'ok') return earlier
      if (signal.aborted) return { status: 'error', error: signal.reason }
      const outcome = perform(execute)
      running.set(key, outcome)
      return outcome.finally(() => running.delete(key))
    },
  }
}

/** What `execute` comes to. */
export async function perform<T>(execute: () => T | Promise<T>): Promise<StepOutcome<T>> {
  try {
    return { status: 'ok', value: await execute() }
  } catch (error) {
    return { status: 'error', error }
  }
}
