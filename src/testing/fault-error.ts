import { PerdureError, type PerdureErrorCode } from '../errors.ts'
import type { Fault } from './script.ts'

/** The faults that fail a call. `hang` and `stall` do not: they only end when the call is aborted. */
export type FailingFault = Exclude<Fault, 'hang' | 'stall'>

const failures = {
  disconnect: ['MODEL_UNAVAILABLE', 'closed the connection before it answered'],
  cut: ['MODEL_UNAVAILABLE', 'broke off in the middle of its answer'],
  malformed: ['MODEL_BAD_ANSWER', 'sent something that is no JSON'],
  empty: ['MODEL_BAD_ANSWER', 'sent an answer without text and without tool calls'],
  'no-finish': ['MODEL_UNAVAILABLE', 'ended its answer without saying that it is complete'],
  length: ['MODEL_CUT_OFF', 'reached its token limit'],
  refusal: ['MODEL_REFUSED', 'refused to answer'],
  'stream-error': ['MODEL_UNAVAILABLE', 'sent an error in the middle of its answer'],
} as const satisfies Record<Extract<FailingFault, string>, readonly [PerdureErrorCode, string]>

/** What a model that talks HTTP throws at this fault, once it has stopped to retry. */
export function toFaultError(fault: FailingFault, model: string): PerdureError {
  const [code, what] =
    typeof fault === 'string' ? failures[fault] : ([toStatusCode(fault.status), `answered ${fault.status}`] as const)
  return new PerdureError(code, `The scripted model "${model}" ${what}, as the script told it to.`, { details: { model } })
}

function toStatusCode(status: number): PerdureErrorCode {
  if (status === 401 || status === 403) return 'MODEL_UNAUTHORIZED'
  if (status === 402) return 'MODEL_QUOTA'
  if (status === 404) return 'MODEL_NOT_FOUND'
  if (status === 413) return 'MODEL_CONTEXT_TOO_LONG'
  return status >= 500 || status === 429 || status === 408 || status === 409 ? 'MODEL_UNAVAILABLE' : 'MODEL_BAD_REQUEST'
}
