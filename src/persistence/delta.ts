import { isPlainArray, isPlainObject, type Path, type Substitute, toNotStorable, toStorable } from './storable.ts'

/**
 * The difference between two immutable values; `createPatcher` applies it. Unchanged parts of two successive snapshots are `===`, so
 * the comparison costs what changed, not what there is (P6); an append to an array is only its new items, and so is an append to an
 * array from which something was cut out (the oldest messages, one finished job).
 *
 * A container that stands at two places of the next value (a child's input that is the parent's context) is written once: the
 * second place is a reference to the first. References are resolved after everything else of the same patch.
 *
 * A delta is storable as it is: its values, keys and paths went through `toStorable`.
 */
export type Patch =
  | readonly ['set', storable: unknown]
  | readonly ['object', changed: readonly (readonly [key: unknown, patch: Patch])[], removed: readonly unknown[]]
  | readonly [
      kind: 'array',
      /** What is taken out first: where, and how many items. */
      cut: readonly [index: number, count: number],
      changed: readonly (readonly [index: number, patch: Patch])[],
      length: number,
      appended: readonly unknown[],
    ]

type StoredPath = readonly unknown[]
type Reference = readonly [target: StoredPath, source: StoredPath]

export interface Delta {
  readonly patch: Patch | null
  readonly references: readonly Reference[]
}

/** How many containers of the next value are looked at for sharing; the ones nearest to the root. */
const SHARED_CANDIDATES = 256

const isEmpty = (value: object): boolean => (Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0)

function findCandidates(root: unknown): Map<object, Path> {
  const paths = new Map<object, Path>()
  const queue: (readonly [unknown, Path])[] = [[root, []]]
  for (const [value, path] of queue) {
    if (paths.size === SHARED_CANDIDATES) break
    const plain = isPlainObject(value)
    if ((!plain && !Array.isArray(value)) || paths.has(value) || isEmpty(value)) continue
    paths.set(value, path)
    if (!plain) continue
    for (const key of Object.keys(value)) {
      if (queue.length > 2 * SHARED_CANDIDATES) break
      if (typeof value[key] === 'object') queue.push([value[key], [...path, key]])
    }
  }
  return paths
}

const beginsWith = (path: Path, start: Path): boolean => start.every((part, index) => part === path[index])
const isSamePath = (a: Path, b: Path): boolean => a.length === b.length && beginsWith(a, b)
const toStoredPath = (path: Path): StoredPath => path.map((part) => toStorable(part))

/** What turns `previous` into `next`. `previous` must not have been mutated since. Errors: `VALUE_NOT_STORABLE`. */
export function createDelta(previous: unknown, next: unknown): Delta {
  const references: Reference[] = []
  const candidates = findCandidates(next)
  const path: (string | number)[] = []

  const substitute: Substitute = (value, target) => {
    const source = candidates.get(value)
    if (source === undefined) return undefined
    if (beginsWith(target, source)) {
      if (isSamePath(source, target)) return undefined
      throw toNotStorable('a circular reference', target)
    }
    references.push([toStoredPath(target), toStoredPath(source)])
    return null
  }
  const at = <T>(key: string | number, compute: () => T): T => {
    path.push(key)
    const result = compute()
    path.pop()
    return result
  }
  const set = (value: unknown): Patch => ['set', toStorable(value, path, substitute)]

  const compare = (before: unknown, after: unknown): Patch | undefined => {
    if (Object.is(before, after)) return undefined
    const source = candidates.get(after as object) // a Map answers for any value
    const elsewhere = source !== undefined && !isSamePath(source, path)
    if (isPlainArray(after) && Array.isArray(before) && !elsewhere) return compareArrays(before, after)
    if (isPlainObject(after) && isPlainObject(before) && !elsewhere && isSameClass(before, after))
      return compareObjects(before, after)
    return set(after)
  }

  const compareArrays = (before: readonly unknown[], after: readonly unknown[]): Patch | undefined => {
    const [cutAt, cutCount] = findCut(before, after)
    const common = Math.min(before.length - cutCount, after.length)
    const changed: [number, Patch][] = []
    for (let index = 0; index < common; index++) {
      const old = index < cutAt ? index : index + cutCount
      if (Object.is(before[old], after[index]) && (after[index] !== undefined || old in before)) continue
      const patch = at(index, () => (old in before ? compare(before[old], after[index]) : set(after[index])))
      if (patch !== undefined) changed.push([index, patch])
    }
    if (cutCount === 0 && changed.length === 0 && before.length === after.length) return undefined
    const appended: unknown[] = []
    for (let index = common; index < after.length; index++) appended.push(toStorable(after[index], [...path, index], substitute))
    return ['array', [cutAt, cutCount], changed, after.length, appended]
  }

  const compareObjects = (before: Record<string, unknown>, after: Record<string, unknown>): Patch | undefined => {
    if (Object.getOwnPropertySymbols(after).length > 0) return set(after)
    const changed: [unknown, Patch][] = []
    for (const key of Object.keys(after)) {
      const property = Object.getOwnPropertyDescriptor(after, key)
      if (property !== undefined && !('value' in property)) return set(after)
      const value = property?.value
      const patch = at(key, () => (Object.hasOwn(before, key) ? compare(before[key], value) : set(value)))
      if (patch !== undefined) changed.push([toStorable(key), patch])
    }
    const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key))
    return changed.length === 0 && removed.length === 0 ? undefined : ['object', changed, removed.map((key) => toStorable(key))]
  }

  return { patch: compare(previous, next) ?? null, references }
}

const isSameClass = (a: object, b: object): boolean => Object.getPrototypeOf(a) === Object.getPrototypeOf(b)

/** What was cut out of `before`, if the first item that moved was only moved by that. */
function findCut(before: readonly unknown[], after: readonly unknown[]): readonly [index: number, count: number] {
  let index = 0
  while (index < after.length && Object.is(before[index], after[index])) index++
  const moved = after[index]
  const isTelling = typeof moved === 'string' || (typeof moved === 'object' && moved !== null)
  const found = isTelling ? before.indexOf(moved, index) : -1
  return found > index ? [index, found - index] : [0, 0]
}
