import { stripVTControlCharacters } from 'node:util'

const MAX_INPUT = 4_000

/**
 * Characters that move the cursor, change the direction of what follows or cannot be seen: controls, line separators, marks of
 * direction (which can make a text read as another one), invisible operators, tags.
 */
const UNSAFE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029\u200b\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu

/**
 * Makes a text that somebody else wrote (a model, a tool, a prompt, an error) safe to print in one line: escape sequences are
 * removed, white space is one space, what else could act on a terminal becomes `�`. Only the first 4,000 characters are kept.
 */
export function toSafeText(text: string): string {
  const start = text.length > MAX_INPUT ? text.slice(0, MAX_INPUT) : text
  return stripVTControlCharacters(start).toWellFormed().replace(/\s+/g, ' ').replace(UNSAFE, '�').trim()
}

/** The first line of a text that says anything, safe to print. */
export function toFirstLine(text: string): string {
  const start = text.slice(0, MAX_INPUT)
  for (const line of start.split(/[\r\n\u2028\u2029]+/)) {
    const safe = toSafeText(line)
    if (safe !== '') return safe
  }
  return ''
}

/** Escapes what JSON leaves as it is and a terminal would act upon. The text stays the same JSON. */
export function toSafeJson(json: string): string {
  return json.replace(UNSAFE, (character) =>
    Array.from({ length: character.length }, (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  )
}

/** Any value in one line, safe to print. */
export function toSafeValue(value: unknown): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return toSafeText(value)
  try {
    return toSafeText(JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? String(item) : item)) ?? String(value))
  } catch {
    return toSafeText(String(value))
  }
}
