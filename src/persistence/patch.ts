import { PerdureError } from '../errors.ts'
import type { Delta, Patch } from './delta.ts'
import { fromStorable } from './storable.ts'

type Container = Record<string | number, unknown>

const define = (target: Container, key: string | number, value: unknown): void => {
  if (key === '__proto__') Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  else target[key] = value
}

function misfit(): PerdureError {
  return new PerdureError('RUN_CORRUPT', 'A snapshot delta does not fit the snapshot before it.')
}

/**
 * Applies the deltas of one snapshot in order. Works in place, for restoring costs one pass, except below containers that a
 * reference has put at two places: those are copied before they are changed.
 */
export function createPatcher(base: unknown): { apply(delta: Delta): void; readonly value: unknown } {
  const shared = new WeakSet<object>()
  let root = base

  const writable = (value: unknown, copy: boolean): Container => {
    if (typeof value !== 'object' || value === null) throw misfit()
    if (!copy) return value as Container
    return (Array.isArray(value) ? [...value] : { ...value }) as Container
  }

  const applyPatch = (before: unknown, patch: Patch, inShared: boolean): unknown => {
    if (patch[0] === 'set') return fromStorable(patch[1])
    const copy = inShared || (typeof before === 'object' && before !== null && shared.has(before))
    const target = writable(before, copy)
    if (patch[0] === 'object') {
      if (Array.isArray(target)) throw misfit()
      for (const key of patch[2]) delete target[key]
    } else {
      if (!Array.isArray(target)) throw misfit()
      if (target.length > patch[2]) target.length = patch[2]
    }
    for (const [key, inner] of patch[1]) define(target, key, applyPatch(target[key], inner, copy))
    if (patch[0] === 'array' && Array.isArray(target)) {
      for (const item of patch[3]) target.push(fromStorable(item))
      if (target.length !== patch[2]) throw misfit()
    }
    return target
  }

  const resolve = (path: readonly (string | number)[]): unknown => {
    let value = root
    for (const key of path) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) throw misfit()
      value = (value as Container)[key]
    }
    return value
  }

  return {
    apply({ patch, references }) {
      if (patch !== null) root = applyPatch(root, patch, false)
      for (const [target, source] of references) {
        const value = resolve(source)
        const key = target.at(-1)
        if (typeof value !== 'object' || value === null || key === undefined) throw misfit()
        shared.add(value)
        define(resolve(target.slice(0, -1)) as Container, key, value)
      }
    },
    get value() {
      return root
    },
  }
}
