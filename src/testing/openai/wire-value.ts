import { invalid } from './api-error.ts'

/** An object as it came over the wire. */
export type WireObject = Readonly<Record<string, unknown>>

/** Tells an object from everything else that JSON can hold. */
export function isObject(value: unknown): value is WireObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** How OpenAI names the type of a value in its errors. */
export function toTypeName(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'number') return Number.isInteger(value) ? 'an integer' : 'a decimal'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** The object at this place. */
export function parseObject(value: unknown, param: string): WireObject {
  if (isObject(value)) return value
  throw mistyped(value, param, 'an object')
}

/** The text at this place. */
export function parseString(value: unknown, param: string): string {
  if (typeof value === 'string') return value
  throw value === undefined
    ? invalid(`Missing required parameter: '${param}'.`, param, 'missing_required_parameter')
    : mistyped(value, param, 'a string')
}

/** The array at this place; with `minLength` 1 it must hold something. */
export function parseArray(value: unknown, param: string, minLength: 0 | 1): readonly unknown[] {
  if (value === undefined) throw invalid(`Missing required parameter: '${param}'.`, param, 'missing_required_parameter')
  if (!Array.isArray(value)) throw mistyped(value, param, 'an array')
  if (value.length >= minLength) return value
  const message = `Invalid '${param}': empty array. Expected an array with minimum length 1, but got an empty array instead.`
  throw invalid(message, param, 'empty_array')
}

/** The word at this place, which must be one of those. */
export function parseWord<const Word extends string>(value: unknown, param: string, words: readonly Word[]): Word {
  const word = words.find((known) => known === value)
  if (word !== undefined) return word
  const known = words.map((each) => `'${each}'`)
  const list = `${known.slice(0, -1).join(', ')}, and ${known.at(-1)}`
  throw invalid(`Invalid value: '${parseString(value, param)}'. Supported values are: ${list}.`, param, 'invalid_value')
}

function mistyped(value: unknown, param: string, expected: string): Error {
  return invalid(
    `Invalid type for '${param}': expected ${expected}, but got ${toTypeName(value)} instead.`,
    param,
    'invalid_type',
  )
}
