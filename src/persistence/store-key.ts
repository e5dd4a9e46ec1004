/**
 * The lowest key a user of a store can write. Every key below it (those that begin with `!`, a space or a control character)
 * belongs to the store itself and is never part of a range.
 */
export const firstUserKey = '"'

/**
 * Refuses a key that cannot be stored as it is: empty, reserved, or with half of a surrogate pair, which UTF-8 would replace by
 * U+FFFD, so that two keys became one.
 */
export function assertKey(key: unknown): asserts key is string {
  if (typeof key !== 'string' || key === '') throw new TypeError(`Expected a key to be a non-empty string, got ${show(key)}`)
  if (key < firstUserKey) {
    throw new TypeError(
      `Expected a key not to begin with \`!\` or a character below it: reserved for the store, got ${show(key)}`,
    )
  }
  assertWellFormed('a key', key)
}

/** Refuses a bound of a range that is no key and no empty string. */
export function assertBound(name: 'gte' | 'lt', bound: unknown): asserts bound is string {
  if (typeof bound !== 'string') throw new TypeError(`Expected \`${name}\` to be a string, got ${show(bound)}`)
  assertWellFormed(`\`${name}\``, bound)
}

function assertWellFormed(what: string, key: string): void {
  if (!key.isWellFormed()) throw new TypeError(`Expected ${what} to have no lone surrogates, got ${show(key)}`)
}

function show(value: unknown): string {
  return typeof value === 'string' ? `${JSON.stringify(value)}` : `\`${String(value)}\` (${typeof value})`
}
