import { isPerdureError, type PerdureErrorCode, toMessage } from '../../errors.ts'

/** An error answer as OpenAI gives it. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly type: string
  readonly param: string | null
  readonly code: string | null
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    message: string,
    facts: { type?: string; param?: string | null; code?: string | null; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message)
    this.status = status
    this.type = facts.type ?? (status >= 500 ? 'server_error' : 'invalid_request_error')
    this.param = facts.param ?? null
    this.code = facts.code ?? null
    this.headers = facts.headers ?? {}
  }

  /** The body of the answer. */
  toJSON(): { error: { message: string; type: string; param: string | null; code: string | null } } {
    return { error: { message: this.message, type: this.type, param: this.param, code: this.code } }
  }
}

/** A 400: what was asked cannot be answered. */
export function invalid(message: string, param: string | null = null, code: string | null = null): ApiError {
  return new ApiError(400, message, { param, code })
}

/** OpenAI's error for a status that a script asks for. */
export function toStatusError(status: number): ApiError {
  const known = statuses[status]
  const message = known?.[0] ?? (status >= 500 ? 'The server had an error while processing your request.' : 'The request failed.')
  return new ApiError(status, message, { type: known?.[1] ?? typeOf(status), code: known?.[2] ?? null })
}

const statuses: Readonly<Record<number, readonly [message: string, type: string, code: string | null]>> = {
  401: ['Incorrect API key provided.', 'invalid_request_error', 'invalid_api_key'],
  404: ['The model does not exist or you do not have access to it.', 'invalid_request_error', 'model_not_found'],
  429: ['Rate limit reached for requests.', 'requests', 'rate_limit_exceeded'],
  503: ['The engine is currently overloaded, please try again later.', 'server_error', null],
}

function typeOf(status: number): string {
  return status >= 500 ? 'server_error' : 'invalid_request_error'
}

/** What OpenAI would have answered where the model port throws this code. */
const answers: Partial<Readonly<Record<PerdureErrorCode, readonly [status: number, code: string | null]>>> = {
  MODEL_UNAUTHORIZED: [401, 'invalid_api_key'],
  MODEL_NOT_FOUND: [404, 'model_not_found'],
  MODEL_QUOTA: [429, 'insufficient_quota'],
  MODEL_CONTEXT_TOO_LONG: [400, 'context_length_exceeded'],
  MODEL_BAD_REQUEST: [400, null],
  MODEL_REFUSED: [400, 'content_policy_violation'],
  MODEL_UNAVAILABLE: [503, null],
}

/**
 * Any failure as an error answer. One that the script did not mean (its function threw) is a 500 that asks not to be
 * retried, so that a mistake in a test shows at once.
 */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  const answer = isPerdureError(error) ? answers[error.code] : undefined
  if (answer === undefined) {
    return new ApiError(500, toMessage(error), { code: 'script_failed', headers: { 'x-should-retry': 'false' } })
  }
  const [status, code] = answer
  return new ApiError(status, toMessage(error), { code, type: code === 'insufficient_quota' ? code : typeOf(status) })
}
