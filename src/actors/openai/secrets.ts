/**
 * Keeps secrets out of errors (P11): every error that leaves this folder goes through {@link sealed}, whatever the SDK, the
 * runtime's fetch or the server's own text put into it.
 */
import { PerdureError } from '../../errors.ts'

/** Takes the secrets out of a text. */
export type Scrub = (text: string) => string

const mask = '[secret]'
const maxCauses = 4

/**
 * Makes the function that replaces each secret, as it is and as URLs and JSON write it. Texts of fewer than four characters
 * are no secrets: to replace them would garble every message.
 */
export function createScrub(secrets: readonly (string | undefined)[]): Scrub {
  const spellings = new Set<string>()
  for (const secret of secrets) {
    if (secret === undefined || secret.length < 4) continue
    spellings.add(secret)
    spellings.add(encodeURIComponent(secret))
    spellings.add(JSON.stringify(secret).slice(1, -1))
    spellings.add(Buffer.from(secret).toString('base64'))
  }
  const longestFirst = [...spellings].sort((a, b) => b.length - a.length)
  return (text) => longestFirst.reduce((rest, spelling) => rest.replaceAll(spelling, mask), text)
}

/** The same error without secrets: message, details and causes are rebuilt from what is known to be safe. */
export function sealed(error: PerdureError, scrub: Scrub): PerdureError {
  const cause = toSafeCause(error.cause, scrub, maxCauses)
  // scrubValue keeps an object an object.
  const details = scrubValue(error.details, scrub) as Readonly<Record<string, unknown>>
  return new PerdureError(error.code, scrub(error.message), cause === undefined ? { details } : { details, cause })
}

/**
 * A cause with only its name, message, status, code and request id. The SDK's errors hold response headers and bodies, the
 * errors of other fetch functions may hold the request: none of that is kept.
 */
function toSafeCause(cause: unknown, scrub: Scrub, depth: number): Error | undefined {
  if (cause === undefined || cause === null || depth === 0) return undefined
  if (!(cause instanceof Error)) return new Error(typeof cause === 'string' ? scrub(cause) : `A thrown ${typeof cause}`)
  const inner = toSafeCause(cause.cause, scrub, depth - 1)
  const safe = new Error(scrub(cause.message), inner === undefined ? undefined : { cause: inner })
  safe.name = scrub(cause.name === 'Error' ? cause.constructor.name : cause.name)
  for (const field of ['status', 'code', 'requestID'] as const) {
    const value: unknown = Reflect.get(cause, field)
    if (typeof value === 'number') Object.assign(safe, { [field]: value })
    if (typeof value === 'string') Object.assign(safe, { [field]: scrub(value) })
  }
  return safe
}

function scrubValue(value: unknown, scrub: Scrub): unknown {
  if (typeof value === 'string') return scrub(value)
  if (Array.isArray(value)) return value.map((item) => scrubValue(item, scrub))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, scrubValue(inner, scrub)]))
}
