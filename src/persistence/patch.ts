import type { Delta, Patch } from './delta.ts'
import { fromStorable } from './storable.ts'

type Container = Record<string | number, unknown>

const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null

/** Also for `__proto__`, which is a key like any other here. */
const define = (target: Container, key: string | number, value: unknown): void => {
  if (key === '__proto__') Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  else target[key] = value
}

function copyOf(value: Container): Container {
  if (Array.isArray(value)) return value.slice() as unknown as Container // an array is one, by index
  return Object.defineProperties(Object.create(Object.getPrototypeOf(value)), Object.getOwnPropertyDescriptors(value))
}

function assertFits(fits: boolean): asserts fits {
  if (!fits) throw new TypeError('A delta does not fit the snapshot before it')
}

/**
 * Applies the deltas of one snapshot in order; each delta is used up, and so are `recorded`, the values of the steps that it names. Works in place, for restoring costs one pass, except where a
 * reference has put a container at two places: that one, and what is below it, is copied before it is changed. Throws a `TypeError`
 * for a delta that does not fit.
 */
export function createPatcher(base: unknown): {
  apply(delta: Delta, recorded?: readonly unknown[]): void
  readonly value: unknown
} {
  let root = base
  /** Containers that stand at more than one place. */
  const shared = new WeakSet<object>()
  /** Copies: what they hold stands in their original too, except for what they own. */
  const copies = new WeakSet<object>()
  const owners = new WeakMap<object, object>()

  const toWritable = (value: unknown, parent: object | undefined): Container => {
    assertFits(isContainer(value))
    const belowCopy = parent !== undefined && copies.has(parent)
    if (!shared.has(value) && !(belowCopy && owners.get(value) !== parent)) return value
    const copy = copyOf(value)
    copies.add(copy)
    if (parent !== undefined) owners.set(copy, parent)
    return copy
  }

  const applyPatch = (before: unknown, patch: Patch, parent: object | undefined): unknown => {
    if (patch[0] === 'set') return fromStorable(patch[1])
    const target = toWritable(before, parent)
    if (patch[0] === 'object') {
      assertFits(!Array.isArray(target))
      for (const key of patch[2]) delete target[toKey(key)]
      for (const [key, inner] of patch[1]) applyAt(target, toKey(key), inner)
      return target
    }
    const [, [cutAt, cutCount], changed, length, appended] = patch
    assertFits(Array.isArray(target))
    if (cutCount > 0) target.splice(cutAt, cutCount)
    if (target.length > length) target.length = length
    for (const [index, inner] of changed) applyAt(target as unknown as Container, index, inner) // by index
    for (const item of appended) target.push(fromStorable(item))
    assertFits(target.length === length)
    return target
  }

  const applyAt = (target: Container, key: string | number, patch: Patch): void => {
    const before = Object.hasOwn(target, key) ? target[key] : undefined
    define(target, key, applyPatch(before, patch, target))
  }

  const resolve = (path: readonly unknown[]): unknown => {
    let value = root
    for (const part of path) {
      const key = toKey(part)
      assertFits(isContainer(value) && Object.hasOwn(value, key))
      value = value[key]
    }
    return value
  }

  return {
    apply({ patch, references, steps = [] }, recorded = []) {
      if (patch !== null) root = applyPatch(root, patch, undefined)
      for (const [index, [target]] of steps.entries()) {
        const place = resolve(target.slice(0, -1))
        assertFits(isContainer(place) && target.length > 0 && index < recorded.length)
        define(place, toKey(target.at(-1)), recorded[index])
      }
      for (const [target, source] of references) {
        const value = resolve(source)
        const place = resolve(target.slice(0, -1))
        assertFits(isContainer(value) && isContainer(place) && target.length > 0)
        shared.add(value)
        define(place, toKey(target.at(-1)), value)
      }
    },
    get value() {
      return root
    },
  }
}

function toKey(stored: unknown): string | number {
  const key = fromStorable(stored)
  assertFits(typeof key === 'string' || typeof key === 'number')
  return key
}
