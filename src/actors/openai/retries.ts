import type { PerdureError } from '../../errors.ts'
import type { ModelCallContext } from '../model.ts'
import { toBackoffMs } from './backoff.ts'
import { AttemptFailure, abortedFailure } from './failure.ts'
import { type Scrub, sealed } from './secrets.ts'

/** How a call is repeated. */
export interface RetryPolicy {
  readonly model: string
  readonly maxRetries: number
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<unknown>
  readonly random: () => number
  readonly scrub: Scrub
}

/** Answers that came but were of no use are paid for: they are asked for again only this often. */
const maxFewRetries = 2
/** A longer wait that a server asks for is not sat out: the call fails and says so. */
const maxRetryAfterMs = 600_000

/**
 * Makes attempts until one succeeds. Calls `onRetry` before each wait; a wait ends at once when the signal aborts. What it
 * throws for a failed attempt is free of secrets; errors that are not an attempt's (a callback threw) pass through.
 *
 * Errors: those of the last attempt, with the number of attempts; `ABORTED`.
 */
export async function withRetries<T>(attempt: () => Promise<T>, policy: RetryPolicy, context: ModelCallContext): Promise<T> {
  const { signal } = context
  if (signal.aborted) throw toAborted(policy, signal)
  let fewRetries = 0
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt()
    } catch (thrown) {
      if (!(thrown instanceof AttemptFailure)) throw thrown
      const error = sealed(counted(thrown, attempts).error, policy.scrub)
      if (thrown.retry === 'few') fewRetries += 1
      const isLast = thrown.retry === 'never' || attempts > policy.maxRetries || fewRetries > maxFewRetries
      if (isLast || (thrown.afterMs ?? 0) > maxRetryAfterMs) throw error
      const delayMs = thrown.afterMs ?? toBackoffMs(attempts, policy.random)
      context.onRetry({ attempt: attempts, delayMs, error })
      await pause(delayMs, policy, signal)
    }
  }
}

async function pause(delayMs: number, policy: RetryPolicy, signal: AbortSignal): Promise<void> {
  try {
    await policy.sleep(delayMs, signal)
  } catch (error) {
    if (!signal.aborted) throw error
  }
  if (signal.aborted) throw toAborted(policy, signal)
}

function toAborted(policy: RetryPolicy, signal: AbortSignal): PerdureError {
  return sealed(abortedFailure(policy.model, signal).error, policy.scrub)
}

function counted(failure: AttemptFailure, attempts: number): AttemptFailure {
  const { error, retry, afterMs } = failure
  const wait = afterMs !== undefined && afterMs > maxRetryAfterMs ? ` It asks to wait ${Math.ceil(afterMs / 1000)} s.` : ''
  const tries = attempts > 1 ? ` This was attempt ${attempts}.` : ''
  const details = { ...error.details, attempts, ...(afterMs === undefined ? {} : { retryAfterMs: afterMs }) }
  return new AttemptFailure(error.code, `${error.message}${wait}${tries}`, { retry, afterMs, cause: error.cause, details })
}
