import { PerdureError } from '../errors.ts'
import type { StepOutcome, StepPolicy } from './step.ts'

/** How long something that was told that its time is up may take to say what it came to. */
const GRACE_MS = 5_000

/** Resolves after `ms`, or when `signal` aborts. */
export type Wait = (ms: number, signal: AbortSignal) => Promise<void>

/**
 * Executes one attempt at a step within its time limit. At the limit its signal aborts; what it comes to within a few seconds counts if it is
 * a success, else that it took too long.
 */
export async function executeAttempt<T>(
  wait: Wait,
  signal: AbortSignal,
  { timeoutMs, onTimeout, isFailure }: StepPolicy<T>,
  execute: (signal: AbortSignal) => Promise<StepOutcome<T>>,
): Promise<StepOutcome<T>> {
  if (timeoutMs === undefined) return execute(signal)
  const late = new AbortController()
  const done = new AbortController()
  try {
    const outcome = execute(AbortSignal.any([signal, late.signal]))
    const first = await Promise.race([outcome, wait(timeoutMs, done.signal)])
    if (first !== undefined) return first
    const error = new PerdureError('CALL_FAILED', `It did not end within ${timeoutMs} ms and was ended.`, {
      details: { timeoutMs },
    })
    late.abort(error)
    const last = await Promise.race([outcome, wait(GRACE_MS, done.signal)])
    if (last?.status === 'ok' && isFailure?.(last.value) !== true) return last
    return onTimeout?.(timeoutMs) ?? { status: 'error', error }
  } finally {
    done.abort()
  }
}

/** When a step that came to this is executed again: milliseconds to wait; `undefined`: not at all. */
export function toNextDelay<T>(
  outcome: StepOutcome<T>,
  attempt: number,
  { isFailure, retry }: StepPolicy<T>,
): number | undefined {
  const isFailed = outcome.status === 'error' || isFailure?.(outcome.value) === true
  return isFailed ? retry?.(attempt) : undefined
}
