import { PerdureError } from '../errors.ts'
import type { StepContext, StepOutcome } from './step.ts'

/**
 * What is done about a step in doubt: its intent is on disk and its outcome is not, because the process ended while it ran. DESIGN 6.
 */

/** What the outside world says about an attempt in doubt. */
export type Recovery<T> =
  /** It came to its end: with a value, or with an error. */
  | { readonly status: 'settled'; readonly value: T }
  | { readonly status: 'settled'; readonly error: unknown }
  /** It had no effect: it is executed. */
  | { readonly status: 'notStarted' }
  /** Nobody can tell. `detail`: what is known all the same. */
  | { readonly status: 'unknown'; readonly detail?: string | undefined }

/**
 * What follows when the outcome stays unknown: execute it again with the same key; settle it with a report that says so; let the run wait for a person.
 */
export type OnDoubt = 'retry' | 'report' | 'ask'

/** What a step that is recovered is given: the attempt in doubt, and what was noted of it. */
export interface RecoveryContext extends StepContext {
  /** What the attempt noted; `undefined` when it did not come to that. */
  readonly noted: unknown
}

/** How a step is brought out of doubt. */
export interface DoubtPolicy<T> {
  /** Asks the outside world. One that throws is taken for `unknown`. */
  readonly recover?: ((context: RecoveryContext) => Promise<Recovery<T>>) | undefined
  readonly onDoubt: OnDoubt
  /** What it settles with when it is reported. */
  readonly report: (detail: string | undefined) => StepOutcome<T>
  /** The outcome that a person gives it: a result as a tool or function would have returned it. */
  readonly toValue: (result: unknown) => T
}

/** Of a step that says nothing: it is executed again, with the same key and a higher `attempt`. */
export const retryInDoubt = <T>(): DoubtPolicy<T> => ({
  onDoubt: 'retry',
  report: (detail) => ({ status: 'error', error: toDoubtError(detail) }),
  toValue: (result) => result as T, // what a person says that it returned
})

/** The error of a step whose outcome is reported as unknown. */
export const toDoubtError = (detail: string | undefined): PerdureError =>
  new PerdureError(
    'STEP_IN_DOUBT',
    `The process ended while this step ran, and its outcome is not known: it may or may not have had its effect.${detail === undefined ? '' : ` ${detail}`}`,
  )
