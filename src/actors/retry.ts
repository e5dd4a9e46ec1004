import { toArgumentError } from './value-text.ts'

/** When a step that failed is executed again. The number of the attempt and the time of the next one are on disk. */
export interface RetryPolicy {
  /** How often it may be executed in all. Default: 3. */
  readonly maxAttempts?: number | undefined
  /** Milliseconds before the second attempt; each further wait is twice as long. Default: 1,000. */
  readonly delayMs?: number | undefined
  /** The longest wait in milliseconds. Default: 60,000. */
  readonly maxDelayMs?: number | undefined
}

/** Milliseconds to wait after a failed attempt, counted from 1; `undefined`: it was the last. */
export type ToRetryDelay = (attempt: number) => number | undefined

/**
 * Exponential backoff with jitter: a random time between half of the wait and all of it, so that what failed together does not come back together.
 *
 * Errors: a `TypeError` for a number that makes no sense.
 */
export function toRetryDelay(policy: RetryPolicy, random: () => number = Math.random): ToRetryDelay {
  if (typeof policy !== 'object' || policy === null)
    throw toArgumentError('retry', 'an object such as `{ maxAttempts: 3 }`', policy)
  const { maxAttempts = 3, delayMs = 1_000, maxDelayMs = 60_000 } = policy
  if (!Number.isInteger(maxAttempts) || maxAttempts < 1) throw toArgumentError('retry.maxAttempts', 'an integer ≥ 1', maxAttempts)
  assertTime('retry.delayMs', delayMs)
  assertTime('retry.maxDelayMs', maxDelayMs)
  return (attempt) => {
    if (attempt >= maxAttempts) return undefined
    const wait = Math.min(delayMs * 2 ** (attempt - 1), maxDelayMs)
    return Math.round(wait * (0.5 + random() / 2))
  }
}

function assertTime(name: string, value: unknown): void {
  if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return
  throw toArgumentError(name, 'a finite number ≥ 0', value)
}
