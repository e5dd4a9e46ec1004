import { inspect, isDeepStrictEqual } from 'node:util'

/** Where two values differ first, in words. */
export function describeDifference(actual: unknown, expected: unknown): string {
  const [path, one, other] = findDifference(actual, expected, [])
  const place = path.length === 0 ? '' : `\`${path.join('.')}\` is `
  return `${place}${show(one)} instead of ${show(other)}`
}

type Found = readonly [path: readonly string[], actual: unknown, expected: unknown]

function findDifference(actual: unknown, expected: unknown, path: readonly string[]): Found {
  if (!isContainer(actual) || !isContainer(expected)) return [path, actual, expected]
  if (Array.isArray(actual) !== Array.isArray(expected)) return [path, actual, expected]
  for (const key of new Set([...Object.keys(actual), ...Object.keys(expected)])) {
    if (!isDeepStrictEqual(actual[key], expected[key])) return findDifference(actual[key], expected[key], [...path, key])
  }
  return [path, actual, expected]
}

const isContainer = (value: unknown): value is Readonly<Record<string, unknown>> =>
  Array.isArray(value) || (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)

function show(value: unknown): string {
  const text = inspect(value, { breakLength: Number.POSITIVE_INFINITY, depth: 4, maxStringLength: 200 })
  return `\`${text.length > 300 ? `${text.slice(0, 300)}…` : text}\``
}
