import type { RecordedValues } from './recorded-values.ts'
import type { RedactText } from './redaction.ts'
import { isPlainArray, isPlainObject, type Path, type Substitute, toNotStorable, toStorable } from './storable.ts'

/**
 * The difference between two immutable values; `createPatcher` applies it. Unchanged parts of two successive snapshots are `===`, so
 * the comparison costs what changed, not what there is (P6); an append to an array is only its new items, and so is an append to an
 * array from which something was cut out (the oldest messages, one finished job).
 *
 * A container that stands at two places of the next value (a child's input that is the parent's context) is written once: the
 * second place is a reference to the first. What stands in the record of a step of the same batch is not written at all: the place names the
 * step. Named steps are put in after the patch, and references after these.
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

/** `path` leads to the value from that of the step; `checksum` is that of the step's record. */
export type NamedStep = readonly [target: StoredPath, step: string, path: readonly string[], checksum: number]

export interface Delta {
  readonly patch: Patch | null
  readonly references: readonly Reference[]
  readonly steps?: readonly NamedStep[]
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

/**
 * What turns `previous` into `next`. `previous` must not have been mutated since. `recorded`: values that can be read where they are said to stand. `redact`: what is written of
 * texts. Errors: `VALUE_NOT_STORABLE`, `REDACTION_FAILED`.
 */
export function createDelta(previous: unknown, next: unknown, recorded?: RecordedValues, redact?: RedactText): Delta {
  const references: Reference[] = []
  const steps: NamedStep[] = []
  const candidates = findCandidates(next)
  const path: (string | number)[] = []

  const substitute: Substitute = (value, target) => {
    const source = candidates.get(value)
    if (source !== undefined && !isSamePath(source, target)) {
      if (beginsWith(target, source)) throw toNotStorable('a circular reference', target)
      references.push([toStoredPath(target), toStoredPath(source)])
      return null
    }
    const place = target.length === 0 ? undefined : recorded?.get(value)
    if (place === undefined) return undefined
    steps.push([toStoredPath(target), place.step, place.path, place.checksum])
    return null
  }
  const at = <T>(key: string | number, compute: () => T): T => {
    path.push(key)
    const result = compute()
    path.pop()
    return result
  }
  const set = (value: unknown): Patch => ['set', toStorable(value, path, substitute, redact)]

  const compare = (before: unknown, after: unknown): Patch | undefined => {
    if (Object.is(before, after)) return undefined
    if (recorded?.has(after)) return set(after)
    const source = candidates.get(after as object) // a Map answers for any value
    const elsewhere = source !== undefined && !isSamePath(source, path)
    if (isPlainArray(after) && Array.isArray(before) && !elsewhere) return compareArrays(before, after)
    if (isPlainObject(after) && isPlainObject(before) && !elsewhere && isSameClass(before, after))
      return compareObjects(before, after)
    return set(after)
  }

  const compareArrays = (before: readonly unknown[], after: readonly unknown[]): Patch | undefined => {
    const { same, cut } = findCut(before, after)
    const common = Math.min(before.length - cut, after.length)
    const changed: [number, Patch][] = []
    for (let index = same; index < common; index++) {
      const old = index + cut
      if (Object.is(before[old], after[index]) && (after[index] !== undefined || old in before)) continue
      const patch = at(index, () => (old in before ? compare(before[old], after[index]) : set(after[index])))
      if (patch !== undefined) changed.push([index, patch])
    }
    if (cut === 0 && changed.length === 0 && before.length === after.length) return undefined
    const appended: unknown[] = []
    for (let index = common; index < after.length; index++)
      appended.push(toStorable(after[index], [...path, index], substitute, redact))
    return ['array', cut === 0 ? [0, 0] : [same, cut], changed, after.length, appended]
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

  const patch = compare(previous, next) ?? null
  return steps.length === 0 ? { patch, references } : { patch, references, steps }
}

const isSameClass = (a: object, b: object): boolean => Object.getPrototypeOf(a) === Object.getPrototypeOf(b)

/** How many items both begin with, and how many were cut out of `before` there, if the first item that moved was only moved by that. */
function findCut(before: readonly unknown[], after: readonly unknown[]): { readonly same: number; readonly cut: number } {
  const end = Math.min(before.length, after.length)
  let same = 0
  // A hole is not an `undefined`, though it reads as one.
  while (same < end && Object.is(before[same], after[same]) && (after[same] !== undefined || same in before)) same++
  const moved = after[same]
  const isTelling = typeof moved === 'string' || (typeof moved === 'object' && moved !== null)
  const found = isTelling ? before.indexOf(moved, same) : -1
  return { same, cut: found > same ? found - same : 0 }
}
