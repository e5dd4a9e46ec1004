import type { StepOutcome } from '../actors/step.ts'

/**
 * The effects that are under way in this process, by key. One whose run was ended may go on, for it need not listen to its signal. When
 * its run is started again it is waited for, and what it comes to is its outcome: a call is never executed twice at once.
 */
export interface Effects {
  isRunning(key: string): boolean
  /** Never rejects: what `execute` throws is an outcome. Not executed when `signal` has aborted by the time it could be. */
  run<T>(key: string, signal: AbortSignal, execute: () => T | Promise<T>): Promise<StepOutcome<T>>
}

export function createEffects(): Effects {
  const running = new Map<string, Promise<StepOutcome<unknown>>>()
  return {
    isRunning: (key) => running.has(key),
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
