const baseMs = 500
const capMs = 8_000

/** The wait before retry number `retry` (from 1): exponential with full jitter, from 0 to 500 ms × 2^(retry − 1), at most 8 s. */
export function toBackoffMs(retry: number, random: () => number): number {
  return Math.round(random() * Math.min(capMs, baseMs * 2 ** (retry - 1)))
}

/**
 * The wait in milliseconds that a server asked for: `retry-after-ms`, else `retry-after` in seconds or as an HTTP date.
 * `undefined` when it did not, or not readably.
 */
export function toRetryAfterMs(headers: Headers | undefined, now: () => number): number | undefined {
  const milliseconds = toNumber(headers?.get('retry-after-ms'))
  if (milliseconds !== undefined) return milliseconds
  const text = headers?.get('retry-after')
  const seconds = toNumber(text)
  if (seconds !== undefined) return Math.round(seconds * 1000)
  // Only a date that names its month: V8 reads "-5" and "1.5.x" as dates too.
  const date = /[a-z]{3}/i.test(text ?? '') ? Date.parse(text ?? '') : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now())
}

function toNumber(text: string | null | undefined): number | undefined {
  return text !== null && text !== undefined && /^\s*\d+(\.\d+)?\s*$/.test(text) ? Number(text) : undefined
}
