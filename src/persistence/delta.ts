import { type Substitute, toStorable } from './storable.ts'

/**
 * The difference between two immutable values, and its application. Unchanged parts of two successive snapshots are `===`, so
 * the comparison costs what changed, not what there is (P6); an append to an array is only its new items.
 *
 * A container that stands at two places of the next value (a child's input that is the parent's context) is written once: the
 * second place is a reference to the first. References are resolved after everything else of the same patch.
 */
export type Patch =
  | readonly ['set', storable: unknown]
  | readonly ['object', changed: readonly (readonly [key: string, patch: Patch])[], removed: readonly string[]]
  | readonly ['array', changed: readonly (readonly [index: number, patch: Patch])[], length: number, appended: readonly unknown[]]

type Path = readonly (string | number)[]
type Reference = readonly [target: Path, source: Path]

export interface Delta {
  readonly patch: Patch | null
  readonly references: readonly Reference[]
}

/** How many containers of the next value are looked at for sharing; the ones nearest to the root. */
const SHARED_CANDIDATES = 256

const isPlain = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
const isActorRef = (value: object): boolean => 'sessionId' in value && 'ref' in value && 'send' in value
const isEmpty = (value: object): boolean => (Array.isArray(value) ? value.length === 0 : Object.keys(value).length === 0)

function findCandidates(root: unknown): Map<object, Path> {
  const paths = new Map<object, Path>()
  const queue: (readonly [unknown, Path])[] = [[root, []]]
  for (let index = 0; index < queue.length && paths.size < SHARED_CANDIDATES; index++) {
    const [value, path] = queue[index] as readonly [unknown, Path] // index < length
    const container = isPlain(value) ? !isActorRef(value) : Array.isArray(value)
    if (!container || paths.has(value as object) || isEmpty(value as object)) continue
    paths.set(value as object, path)
    if (isPlain(value)) for (const key of Object.keys(value)) queue.push([value[key], [...path, key]])
  }
  return paths
}

const samePath = (a: Path, b: Path): boolean => a.length === b.length && a.every((part, index) => part === b[index])

/** What turns `previous` into `next`. `previous` must not have been mutated since. Errors: `VALUE_NOT_STORABLE`. */
export function createDelta(previous: unknown, next: unknown): Delta {
  const references: Reference[] = []
  const candidates = findCandidates(next)
  const substitute: Substitute = (value, path) => {
    const source = candidates.get(value)
    if (source === undefined || samePath(source, path)) return undefined
    references.push([path, source])
    return null
  }
  const set = (value: unknown, path: Path): Patch => ['set', toStorable(value, path, substitute)]

  const compare = (before: unknown, after: unknown, path: Path): Patch | undefined => {
    if (Object.is(before, after)) return undefined
    if (Array.isArray(before) && Array.isArray(after)) return compareArrays(before, after, path)
    if (isPlain(before) && isPlain(after) && !isActorRef(before) && !isActorRef(after)) return compareObjects(before, after, path)
    return set(after, path)
  }

  const compareArrays = (before: readonly unknown[], after: readonly unknown[], path: Path): Patch | undefined => {
    const common = Math.min(before.length, after.length)
    const changed: [number, Patch][] = []
    for (let index = 0; index < common; index++) {
      const patch = compare(before[index], after[index], [...path, index])
      if (patch !== undefined) changed.push([index, patch])
    }
    if (changed.length === 0 && before.length === after.length) return undefined
    const appended = after.slice(common).map((item, index) => toStorable(item, [...path, common + index], substitute))
    return ['array', changed, after.length, appended]
  }

  const compareObjects = (before: Record<string, unknown>, after: Record<string, unknown>, path: Path): Patch | undefined => {
    const changed: [string, Patch][] = []
    for (const key of Object.keys(after)) {
      const inner = [...path, key]
      const patch = Object.hasOwn(before, key) ? compare(before[key], after[key], inner) : set(after[key], inner)
      if (patch !== undefined) changed.push([key, patch])
    }
    const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key))
    return changed.length === 0 && removed.length === 0 ? undefined : ['object', changed, removed]
  }

  return { patch: compare(previous, next, []) ?? null, references }
}
