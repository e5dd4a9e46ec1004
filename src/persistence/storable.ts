import { types } from 'node:util'
import { PerdureError } from '../errors.ts'
import type { RedactText } from './redaction.ts'
import { fromStoredBytes, type StoredBytes, toStoredBytes } from './stored-bytes.ts'
import { fromStoredError, type StoredError, toStoredError } from './stored-error.ts'

/**
 * The one place that knows which JavaScript values can be kept, and how those that msgpack has no word for are written.
 *
 * Kept as they are: undefined, null, booleans, numbers (NaN, infinities and -0 too), bigint of any size, strings (lone surrogates
 * too), plain objects (also without a prototype) and arrays (also with holes), Date, Map, Set, RegExp, ArrayBuffer, DataView, typed
 * arrays, Buffer, Error with its own properties. A value that msgpack would change is wrapped as `{ [TAG]: [kind, data] }`; a user's
 * object that has that key is itself wrapped. A reference to an actor of a run becomes an {@link ActorReference}, that to any other XState's own marker.
 *
 * Anything else is refused, with its path. Also refused is what can change without becoming another object, for a delta would not
 * notice it: getters and proxies. Property attributes and keys that are not enumerable are not kept.
 */
const TAG = '$perdure'

/** How deep values may be nested. Writing and reading recurse: this stays far from the end of the stack, much of which may be in use. */
export const MAX_DEPTH = 100

export type Path = readonly (string | number)[]

/** What the walk meets at a nested container: a replacement for it (a reference), or `undefined` to go on into it. */
export type Substitute = (value: object, path: Path) => unknown

/** `a.b[0]` */
function toPathText(path: Path): string {
  if (path.length === 0) return 'the value itself'
  const texts = path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`))
  return (texts.length > 40 ? [...texts.slice(0, 20), ' … ', ...texts.slice(-10)] : texts).join('')
}

/** The error for a value that cannot be kept. */
export function toNotStorable(what: string, path: Path): PerdureError {
  return new PerdureError(
    'VALUE_NOT_STORABLE',
    `Cannot store ${what} at \`${toPathText(path)}\`. Keep plain data there (objects, arrays, Date, Map, Set, Error, bytes), and functions, sockets and class instances outside of what is recorded.`,
    { details: { path: [...path] } },
  )
}

/** A plain object whose parts can be compared one by one. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || types.isProxy(value) || isActorRef(value)) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** An array that is only its items: no holes, no other properties, of no class of its own. */
export function isPlainArray(value: unknown): value is readonly unknown[] {
  if (!Array.isArray(value) || types.isProxy(value) || Object.getPrototypeOf(value) !== Array.prototype) return false
  const keys = Object.keys(value)
  // Indices come first and in order: when the last key is the last index, all are there.
  return keys.length === value.length && (keys.length === 0 || keys.at(-1) === String(value.length - 1))
}

/** Marks the root actor of a run: references to its actors are kept by the names that they have in it. */
export const runRoot = Symbol.for('perdure.runRoot')

/** A reference to an actor of the run that holds it. Whoever restores the run puts the actor in its place. */
export class ActorReference {
  /** The actor's name in its run; '' is the root. No other has it, not even one of the same id. */
  readonly name: string
  readonly id: string
  constructor(name: string, id: string) {
    this.name = name
    this.id = id
  }
}

interface ActorRefLike {
  readonly id: string
  readonly sessionId: string
  readonly _parent?: ActorRefLike
  readonly [runRoot]?: true
}

/** `undefined`: the actor is not of a run. */
function toActorName(actor: ActorRefLike): string | undefined {
  let root = actor
  while (root._parent !== undefined) root = root._parent
  if (root[runRoot] !== true) return undefined
  return root === actor ? '' : actor.sessionId
}

function isActorRef(value: object): value is ActorRefLike {
  return 'sessionId' in value && 'ref' in value && 'id' in value && 'send' in value && typeof value.send === 'function'
}

// A byte order mark at the start is lost by the decoder, half of a surrogate pair by UTF-8.
const isExact = (text: string): boolean => text.isWellFormed() && text.charCodeAt(0) !== 0xfeff
const needsWrapping = (key: string): boolean => key === TAG || key === '__proto__' || !isExact(key)
const tagged = (kind: string, data: unknown): unknown => ({ [TAG]: [kind, data] })
/** A text, or a key: those are never redacted, for another key would be another place. */
const writeText = (text: string): unknown =>
  isExact(text) ? text : tagged('utf16', new Uint8Array(Buffer.from(text, 'utf16le')))

/**
 * A copy of `value` that msgpack keeps exactly. `at` is where the value stands, for the message. `redact`: what is written of the texts in it; keys of objects and Maps are
 * kept as they are. Errors: `VALUE_NOT_STORABLE` with the path, `REDACTION_FAILED`.
 */
export function toStorable(value: unknown, at: Path = [], substitute?: Substitute, redact?: RedactText): unknown {
  const path = [...at]
  const ancestors: object[] = []
  /** Above 0 inside of a wrapper: a reference is found again by its path, and a path cannot lead through a wrapper. */
  let wrappers = 0

  const walk = (item: unknown): unknown => {
    switch (typeof item) {
      case 'string':
        return writeText(redact === undefined ? item : redact(item, path))
      case 'number':
        return Object.is(item, -0) ? tagged('-0', null) : item
      case 'function':
        throw toNotStorable(`the function ${item.name || '(anonymous)'}`, path)
      case 'symbol':
        throw toNotStorable(String(item), path)
      case 'object':
        return item === null ? null : walkObject(item)
      default:
        return item
    }
  }

  const walkChild = (item: unknown, key: string | number): unknown => {
    path.push(key)
    const result = walk(item)
    path.pop()
    return result
  }

  const walkObject = (item: object): unknown => {
    const replacement = wrappers === 0 ? substitute?.(item, path) : undefined
    if (replacement !== undefined) return replacement
    if (ancestors.includes(item)) throw toNotStorable('a circular reference', path)
    if (path.length > MAX_DEPTH) throw toNotStorable(`what is nested more than ${MAX_DEPTH} levels deep`, path)
    if (types.isProxy(item)) throw toNotStorable('a Proxy', path)
    if (isActorRef(item)) {
      const name = toActorName(item)
      return name === undefined ? { xstate$$type: 1, id: item.id } : tagged('actor', [name, item.id])
    }
    if (item instanceof ActorReference) return tagged('actor', [item.name, item.id])
    ancestors.push(item)
    const result = write(item)
    ancestors.pop()
    return result
  }

  const wrap = (kind: string, data: () => unknown): unknown => {
    wrappers++
    const result = tagged(kind, data())
    wrappers--
    return result
  }

  const write = (item: object): unknown => {
    const prototype: unknown = Object.getPrototypeOf(item)
    if (prototype === Object.prototype) return writeObject(item, 'object')
    if (prototype === Array.prototype) return writeArray(item as readonly unknown[]) // by its prototype
    if (prototype === null) return writeObject(item, 'null')
    if (item instanceof Error) return wrap('error', () => toStoredError(item, walkChild, writeText))
    const bytes = toStoredBytes(item)
    if (bytes !== undefined) return bytes.name === 'Uint8Array' ? bytes.bytes : tagged('bytes', bytes)
    const extra = Reflect.ownKeys(item).find((key) => !(item instanceof RegExp && key === 'lastIndex'))
    const known = prototype === Date.prototype || prototype === RegExp.prototype || prototype === Map.prototype
    if (!known && prototype !== Set.prototype) throw toNotStorable(`an instance of ${toClassName(item)}`, path)
    if (extra !== undefined) throw toNotStorable(`a ${toClassName(item)} with the property ${String(extra)}`, path)
    if (item instanceof RegExp) return tagged('regexp', [writeText(item.source), item.flags, item.lastIndex])
    if (item instanceof Map) return wrap('map', () => Array.from(item, writeEntry))
    return item instanceof Set ? wrap('set', () => Array.from(item, walkChild)) : item
  }

  const writeEntry = ([key, item]: readonly [unknown, unknown], index: number): readonly [unknown, unknown] => [
    typeof key === 'string' ? writeText(key) : walkChild(key, index),
    walkChild(item, typeof key === 'object' ? index : String(key)),
  ]

  const writeObject = (item: object, kind: 'object' | 'null'): unknown => {
    if (Object.getOwnPropertySymbols(item).length > 0) throw toNotStorable('an object with symbol keys', path)
    const keys = Object.keys(item)
    if (kind === 'null' || keys.some(needsWrapping))
      return wrap(kind, () => keys.map((key) => [writeText(key), walkChild(read(item, key), key)]))
    const copy: Record<string, unknown> = {}
    for (const key of keys) copy[key] = walkChild(read(item, key), key)
    return copy
  }

  const read = (item: object, key: string): unknown => {
    const property = Object.getOwnPropertyDescriptor(item, key)
    if (property !== undefined && !('value' in property)) throw toNotStorable('a getter', [...path, key])
    return property?.value
  }

  const writeArray = (items: readonly unknown[]): unknown => {
    if (isPlainArray(items) && Object.getOwnPropertySymbols(items).length === 0) {
      const copy = new Array<unknown>(items.length)
      for (let index = 0; index < items.length; index++) copy[index] = walkChild(items[index], index)
      return copy
    }
    const keys = Reflect.ownKeys(items).filter((key) => key !== 'length')
    const named = keys.find((key) => typeof key === 'symbol' || String(Number(key) >>> 0) !== key)
    if (named !== undefined) throw toNotStorable(`an array with the property ${String(named)}`, path)
    return wrap('sparse', () => [items.length, keys.map(Number).map((index) => [index, walkChild(items[index], index)])])
  }

  return walk(value)
}

const toClassName = (value: object): string => (typeof value.constructor === 'function' && value.constructor.name) || 'a class'

/**
 * The value that {@link toStorable} was given, made out of `value`, which must come from a decoder and is used up. What
 * `toStorable` does not write may throw anything.
 */
export function fromStorable(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  // The decoder gives a window on its source.
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) value[index] = fromStorable(value[index])
    return value
  }
  const object = value as Record<string, unknown> // what else a decoder makes
  const wrapped = object[TAG]
  if (Array.isArray(wrapped)) return unwrap(wrapped[0], wrapped[1])
  for (const key of Object.keys(object)) {
    const item = object[key]
    if (typeof item === 'object') object[key] = fromStorable(item)
  }
  return object
}

// The casts below state what `toStorable` wrote; the record's checksum was verified before.
function unwrap(kind: unknown, data: unknown): unknown {
  switch (kind) {
    case 'map':
      return new Map(fromStorable(data) as [unknown, unknown][])
    case 'set':
      return new Set(fromStorable(data) as unknown[])
    case 'utf16':
      return Buffer.from(data as Uint8Array).toString('utf16le')
    case '-0':
      return -0
    case 'object':
      return define({}, data)
    case 'null':
      return define(Object.create(null) as object, data)
    case 'sparse': {
      const [length, items] = data as [number, unknown]
      return define(new Array(length), items)
    }
    case 'regexp': {
      const [source, flags, lastIndex] = fromStorable(data) as [string, string, number]
      return Object.assign(new RegExp(source, flags), { lastIndex })
    }
    case 'bytes':
      return fromStoredBytes(data as StoredBytes)
    case 'actor':
      return new ActorReference(...(data as [name: string, id: string]))
    case 'error':
      return fromStoredError(fromStorable(data) as StoredError)
    default:
      throw new TypeError(`Unknown kind of value \`${String(kind)}\``)
  }
}

function define(target: object, entries: unknown): object {
  for (const [key, value] of fromStorable(entries) as [string, unknown][])
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  return target
}
