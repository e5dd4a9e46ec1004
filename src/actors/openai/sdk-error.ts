import { toRetryAfterMs } from './backoff.ts'
import { AttemptFailure } from './failure.ts'
import { type CallPlace, type ProviderError, toProviderFailure } from './provider-error.ts'
import type { WireError } from './wire-shape.ts'

type Sdk = Pick<typeof import('openai'), 'APIError' | 'APIConnectionError' | 'APIConnectionTimeoutError'>

/** Names whatever the SDK threw: an HTTP error, an error event inside a stream, a broken connection, unreadable JSON. */
export function toSdkFailure(error: unknown, sdk: Sdk, place: CallPlace, now: () => number): AttemptFailure {
  if (error instanceof sdk.APIConnectionError) {
    const problem = error instanceof sdk.APIConnectionTimeoutError ? 'did not answer in time' : 'could not be reached'
    return unreachable(`${place.host} ${problem}${toReasons(error)}.`, error, place)
  }
  if (error instanceof sdk.APIError) {
    const body = typeof error.error === 'object' && error.error !== null ? error.error : undefined
    const said: unknown = body === undefined ? undefined : Reflect.get(body, 'message')
    return toProviderFailure(
      {
        ...toCodes(error),
        status: error.status ?? toStatus(error.code),
        message: typeof said === 'string' ? said : error.message,
        requestId: error.requestID ?? undefined,
        afterMs: toRetryAfterMs(error.headers, now),
        isFinal: error.headers?.get('x-should-retry') === 'false',
        cause: error,
      },
      place,
    )
  }
  if (error instanceof SyntaxError) {
    return new AttemptFailure('MODEL_BAD_ANSWER', `${place.host} sent a stream that is no valid JSON. Ask again.`, {
      retry: 'few',
      cause: error,
      details: { ...place },
    })
  }
  return unreachable(`The connection to ${place.host} broke in the middle of the answer${toReasons(error)}.`, error, place)
}

/** Names an error object that was read from an answer. */
export function toWireFailure(error: WireError, place: CallPlace): AttemptFailure {
  if (typeof error === 'string') return toProviderFailure({ message: error }, place)
  const message = error.message ?? 'No reason given.'
  return toProviderFailure({ ...toCodes(error), status: toStatus(error.code), message }, place)
}

function toCodes(error: { readonly code?: unknown; readonly type?: unknown }): Pick<ProviderError, 'code' | 'type'> {
  return {
    code: typeof error.code === 'string' ? error.code : undefined,
    type: typeof error.type === 'string' ? error.type : undefined,
  }
}

/** Routers put the HTTP status of the server behind them into `code`. */
function toStatus(code: unknown): number | undefined {
  const status = Number(code)
  return Number.isInteger(status) && status >= 400 && status < 600 ? status : undefined
}

function unreachable(problem: string, cause: unknown, place: CallPlace): AttemptFailure {
  return new AttemptFailure('MODEL_UNAVAILABLE', `${problem} Check the network and the base URL, or try again later.`, {
    retry: 'often',
    cause,
    details: { ...place },
  })
}

/** What the causes say: "fetch failed" alone helps nobody. */
function toReasons(error: unknown): string {
  const reasons: string[] = []
  for (let cause = error; cause instanceof Error && reasons.length < 4; cause = cause.cause) {
    const code: unknown = Reflect.get(cause, 'code')
    reasons.push(cause.message === '' && typeof code === 'string' ? code : cause.message.replace(/\.$/, ''))
  }
  return reasons.length === 0 ? '' : ` (${reasons.join(': ')})`
}
