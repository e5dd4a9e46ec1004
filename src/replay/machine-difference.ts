import { isDeepStrictEqual } from 'node:util'
import { ActorReference, isPlainObject } from '../persistence/storable.ts'
import { toErrorText } from './compare.ts'

/** Where two values differ: the paths of the parts, and what they are there. */
export interface Difference {
  readonly path: string
  readonly a: unknown
  readonly b: unknown
}

/** How many differences are told. */
const MAX_TOLD = 20

/** The parts in which `b` is not `a`, in the order in which they stand there: objects and arrays part by part, all else as a whole. */
export function findDifferences(a: unknown, b: unknown): readonly Difference[] {
  const found: Difference[] = []
  const walk = (one: unknown, other: unknown, path: string): void => {
    if (found.length === MAX_TOLD) return
    if (Array.isArray(one) && Array.isArray(other)) {
      for (let at = 0; at < Math.max(one.length, other.length); at++) walk(one[at], other[at], `${path}[${at}]`)
    } else if (isPlainObject(one) && isPlainObject(other)) {
      for (const key of new Set([...Object.keys(one), ...Object.keys(other)]))
        walk(one[key], other[key], path === '' ? key : `${path}.${key}`)
    } else if (!isDeepStrictEqual(toComparable(one), toComparable(other))) found.push({ path, a: one, b: other })
  }
  walk(a, b, '')
  return found
}

/** Of an actor only the name is the same in another process, of an error what it says. */
function toComparable(value: unknown): unknown {
  if (value instanceof ActorReference) return { actor: value.id }
  return value instanceof Error ? { error: toErrorText(value) } : value
}
