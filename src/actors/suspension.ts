import { isPerdureError } from '../errors.ts'

/**
 * Whether what aborts is only this process or its store, not the work: a runtime that closes, a store that takes no more. Then work that can outlive us
 * is left alone, for the next process takes it up; every other abort is a cancellation, which ends it.
 */
export const isSuspension = ({ aborted, reason }: AbortSignal): boolean =>
  aborted && isPerdureError(reason) && reason.code.startsWith('STORE_')
