import { PerdureError, type PerdureErrorCode } from '../../errors.ts'

/**
 * Whether a failed attempt is worth another: `often` as long as retries are left (the server or the way to it had a
 * problem), `few` at most twice (the model answered, which costs money, but not usefully), `never` for what another attempt
 * cannot change.
 */
export type RetryRule = 'never' | 'few' | 'often'

/** What is known about a failure besides its code and message. */
export interface FailureFacts {
  readonly retry?: RetryRule
  /** The wait that the server asked for. */
  readonly afterMs?: number | undefined
  readonly cause?: unknown
  readonly details?: Readonly<Record<string, unknown>>
}

/**
 * One attempt that failed, with what the retry loop must know. Never leaves this folder: the loop unwraps `error`, which
 * may still hold secrets until `sealed` has been over it.
 */
export class AttemptFailure extends Error {
  override readonly name = 'AttemptFailure'
  readonly error: PerdureError
  readonly retry: RetryRule
  readonly afterMs: number | undefined

  constructor(code: PerdureErrorCode, message: string, facts: FailureFacts = {}) {
    super(message)
    this.error = new PerdureError(code, message, { cause: facts.cause, details: facts.details ?? {} })
    this.retry = facts.retry ?? 'never'
    this.afterMs = facts.afterMs
  }
}

/** The failure of a call that was stopped through its signal. */
export function abortedFailure(model: string, signal: AbortSignal): AttemptFailure {
  return new AttemptFailure('ABORTED', `The call of model "${model}" was aborted. Start the run again to ask once more.`, {
    cause: signal.reason,
    details: { model },
  })
}
