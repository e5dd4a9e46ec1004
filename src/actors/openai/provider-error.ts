import type { PerdureErrorCode } from '../../errors.ts'
import { AttemptFailure, type RetryRule } from './failure.ts'

/** An error as a provider told it: as an HTTP answer, or as an event inside a stream that began well. */
export interface ProviderError {
  /** The HTTP status; `undefined` for an event inside a 200. */
  readonly status?: number | undefined
  readonly code?: string | undefined
  readonly type?: string | undefined
  readonly message: string
  readonly requestId?: string | undefined
  /** The wait that the server asked for. */
  readonly afterMs?: number | undefined
  /** The server says that a retry is of no use (`x-should-retry: false`). */
  readonly isFinal?: boolean | undefined
  readonly cause?: unknown
}

/** Who was asked for what, for messages. */
export interface CallPlace {
  readonly host: string
  readonly model: string
}

interface Kind {
  readonly code: PerdureErrorCode
  readonly retry: RetryRule
  readonly next: string
}

const kinds = {
  quota: {
    code: 'MODEL_QUOTA',
    retry: 'never',
    next: 'Add credit or raise the budget of this account, then run again.',
  },
  tooLong: {
    code: 'MODEL_CONTEXT_TOO_LONG',
    retry: 'never',
    next: 'Shorten the conversation or the tool results, or use a model with a larger context.',
  },
  refused: {
    code: 'MODEL_REFUSED',
    retry: 'never',
    next: 'Change what the model is asked.',
  },
  unauthorized: {
    code: 'MODEL_UNAUTHORIZED',
    retry: 'never',
    next: 'Set OPENAI_API_KEY (or the option `apiKey`) to a key that may use this model.',
  },
  notFound: {
    code: 'MODEL_NOT_FOUND',
    retry: 'never',
    next: 'Check the model name, and that the base URL is that of the API (it usually ends in /v1).',
  },
  badRequest: {
    code: 'MODEL_BAD_REQUEST',
    retry: 'never',
    next: 'Correct the request: the settings, tool schemas or messages that the answer names.',
  },
  unavailable: {
    code: 'MODEL_UNAVAILABLE',
    retry: 'often',
    next: 'Try again later, or use another model.',
  },
} as const satisfies Record<string, Kind>

const quotaWords = /insufficient_quota|billing_hard_limit_reached|billing_not_active|insufficient_balance|credit_balance/
const tooLongWords =
  /context_length_exceeded|exceed_context_size|maximum context length|context window|context length|available context size|prompt is too long|request too large/i
const refusedWords = /^(content_filter|content_policy_violation|invalid_prompt|.*_policy(_violation)?)$/
const unauthorizedWords =
  /^(invalid_api_key|authentication_error|permission_error|permission_denied|unsupported_country_region_territory)$/
const lookupWords = /^Item with id/
const retriedStatuses: readonly number[] = [408, 409, 425, 429]

/** Names a provider's error. The same words mean the same in an HTTP answer and inside a stream. */
export function toProviderFailure(error: ProviderError, place: CallPlace): AttemptFailure {
  const kind: Kind = toKind(error)
  const retry = error.isFinal === true ? 'never' : kind.retry
  const said = error.status === undefined ? 'answered with an error' : `answered ${error.status}`
  const text = toSentence(error.message, error.status)
  return new AttemptFailure(kind.code, `${place.host} ${said} for model "${place.model}": ${text} ${kind.next}`, {
    retry,
    afterMs: error.afterMs,
    cause: error.cause,
    details: {
      model: place.model,
      host: place.host,
      ...(error.status === undefined ? {} : { status: error.status }),
      ...(error.code === undefined ? {} : { providerCode: error.code }),
      ...(error.requestId === undefined ? {} : { requestId: error.requestId }),
    },
  })
}

/** The provider's text, not endless, without the status that the SDK puts before it, and with its full stop. */
function toSentence(message: string, status: number | undefined): string {
  const text = status !== undefined && message.startsWith(`${status} `) ? message.slice(`${status} `.length) : message
  const short = text.length > 600 ? `${text.slice(0, 600)}…` : text.trim()
  return /[.!?…]$/.test(short) ? short : `${short}.`
}

function toKind({ status, code = '', type = '', message }: ProviderError): Kind {
  if (quotaWords.test(code) || quotaWords.test(type) || status === 402) return kinds.quota
  if (status !== undefined && status >= 500) return kinds.unavailable
  if (tooLongWords.test(code) || tooLongWords.test(type) || tooLongWords.test(message) || status === 413) return kinds.tooLong
  if (refusedWords.test(code)) return kinds.refused
  if (status === 401 || status === 403 || unauthorizedWords.test(code) || unauthorizedWords.test(type)) return kinds.unauthorized
  if (code === 'model_not_found') return kinds.notFound
  // A stored item that is gone, not the model: the request refers to what the provider does not keep.
  if (status === 404) return lookupWords.test(message) ? kinds.badRequest : kinds.notFound
  if (status === undefined) return type === 'invalid_request_error' ? kinds.badRequest : kinds.unavailable
  return retriedStatuses.includes(status) ? kinds.unavailable : kinds.badRequest
}
