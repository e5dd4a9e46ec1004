import { setTimeout as delay } from 'node:timers/promises'
import { executeAttempt, toNextDelay, type Wait } from './attempt.ts'
import type { StepContext, StepDescription, StepHost, StepOutcome, StepPolicy } from './step.ts'

/** What hears of the steps of a {@link createDirectHost}. */
export interface DirectObserver {
  readonly onProgress?: (progress: unknown) => void
  readonly onSettled?: <T>(step: StepDescription, outcome: StepOutcome<T>, startedAt: number) => void
}

const wait: Wait = async (ms, signal) => {
  await delay(ms, undefined, { signal }).catch(() => {}) // aborted
}

/** Executes steps, within their time limits and with their retries, and records nothing: what an actor system without a runtime has. */
export function createDirectHost({ onProgress, onSettled }: DirectObserver = {}): StepHost {
  const perform = async <T>(execute: () => Promise<T>): Promise<StepOutcome<T>> => {
    try {
      return { status: 'ok', value: await execute() }
    } catch (error) {
      return { status: 'error', error }
    }
  }
  const run = async <T>(
    step: StepDescription,
    execute: (context: StepContext) => Promise<T>,
    signal: AbortSignal,
    policy: StepPolicy<T>,
  ): Promise<StepOutcome<T>> => {
    const progress = (value: unknown): void => onProgress?.(value)
    for (let attempt = 1; ; attempt++) {
      const outcome = await executeAttempt(wait, signal, policy, (attemptSignal) =>
        perform(() =>
          execute({ signal: attemptSignal, key: step.key, attempt, doubted: 0, runId: '', progress, note: () => {} }),
        ),
      )
      const delayMs = signal.aborted ? undefined : toNextDelay(outcome, attempt, policy)
      if (delayMs === undefined) return outcome
      await wait(delayMs, signal)
    }
  }
  return {
    nameStep: ({ sessionId }) => sessionId,
    run(step, execute, settle, signal, policy) {
      const startedAt = Date.now()
      void run(step, execute, signal, policy).then((outcome) => {
        onSettled?.(step, outcome, startedAt)
        settle(outcome)
      })
    },
  }
}

export const directHost = createDirectHost()
