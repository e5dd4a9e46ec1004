import { PerdureError } from '../errors.ts'

/**
 * The one place that knows which JavaScript values can be kept, and how those that msgpack has no word for are written.
 *
 * Kept as they are: undefined, null, booleans, numbers (NaN, infinities and -0 too), bigint of any size, strings (lone surrogates
 * too), plain objects and arrays, Date, Map, Set, RegExp, ArrayBuffer, typed arrays, Error with its own properties. A value that
 * msgpack would change is wrapped as `{ [TAG]: [kind, data] }`; a user's object that has that key is itself wrapped. An XState
 * actor reference becomes XState's own marker. Anything else is refused, with its path.
 */
const TAG = '$perdure'

type Path = readonly (string | number)[]

/** What the walk meets at a nested container: a replacement for it (a reference), or `undefined` to go on into it. */
export type Substitute = (value: object, path: Path) => unknown

const plain = new Set<unknown>([Object.prototype, null])
const needsWrapping = (key: string): boolean => key === TAG || key === '__proto__' || !key.isWellFormed()

/** `a.b[0]` */
export function toPathText(path: Path): string {
  if (path.length === 0) return 'the value itself'
  return path.map((part, index) => (typeof part === 'number' ? `[${part}]` : index === 0 ? part : `.${part}`)).join('')
}

/** The error for a value that cannot be kept. */
function notStorable(what: string, path: Path): PerdureError {
  return new PerdureError(
    'VALUE_NOT_STORABLE',
    `Cannot store ${what} at \`${toPathText(path)}\`. Keep plain data there (objects, arrays, Date, Map, Set, Error, bytes), and functions, sockets and class instances outside of what is recorded.`,
    { details: { path: [...path] } },
  )
}

const tagged = (kind: string, data: unknown): unknown => ({ [TAG]: [kind, data] })

function fromObject(value: object, path: Path, ancestors: Set<object>, substitute: Substitute | undefined): unknown {
  if (Array.isArray(value)) return Array.from(value, (item, index) => walk(item, [...path, index], ancestors, substitute))
  // A reference is found again by its path, and a path cannot lead through a wrapper: no substitution inside of one.
  const inner = (child: unknown, key: string | number): unknown => walk(child, [...path, key], ancestors, undefined)
  if (value instanceof Date || value instanceof RegExp || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return value
  if (value instanceof Map)
    return tagged(
      'map',
      [...value].map(([key, item], index) => [inner(key, index), inner(item, String(key))]),
    )
  if (value instanceof Set) return tagged('set', [...value].map(inner))
  if (value instanceof Error) {
    const { name, message, stack } = value
    const own = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inner(item, key)]))
    return tagged('error', { name, message, stack, own, ...('cause' in value ? { cause: inner(value.cause, 'cause') } : {}) })
  }
  if ('sessionId' in value && 'ref' in value && 'send' in value && 'id' in value) return { xstate$$type: 1, id: value.id }
  if (!plain.has(Object.getPrototypeOf(value))) throw notStorable(`an instance of ${value.constructor?.name || 'a class'}`, path)
  if (Object.getOwnPropertySymbols(value).length > 0) throw notStorable('an object with symbol keys', path)
  const keys = Object.keys(value)
  if (keys.some(needsWrapping))
    return tagged(
      'object',
      Object.entries(value).map(([key, item]) => [walk(key, path, ancestors, undefined), inner(item, key)]),
    )
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) copy[key] = walk(item, [...path, key], ancestors, substitute)
  return copy
}

function walk(value: unknown, path: Path, ancestors: Set<object>, substitute: Substitute | undefined): unknown {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? value : tagged('utf16', new Uint8Array(Buffer.from(value, 'utf16le')))
    case 'number':
      return Object.is(value, -0) ? tagged('-0', null) : value
    case 'function':
      throw notStorable(`the function ${value.name || '(anonymous)'}`, path)
    case 'symbol':
      throw notStorable(String(value), path)
    case 'object': {
      if (value === null) return value
      const replacement = substitute?.(value, path)
      if (replacement !== undefined) return replacement
      if (ancestors.has(value)) throw notStorable('a circular reference', path)
      ancestors.add(value)
      const result = fromObject(value, path, ancestors, substitute)
      ancestors.delete(value)
      return result
    }
    default:
      return value
  }
}

/**
 * A copy of `value` that msgpack keeps exactly. `at` is where the value stands, for the message. Errors: `VALUE_NOT_STORABLE`
 * with the path.
 */
export function toStorable(value: unknown, at: Path = [], substitute?: Substitute): unknown {
  return walk(value, at, new Set(), substitute)
}

/** The value that {@link toStorable} was given. Errors are of class `Error` with their own properties, a `PerdureError` is one again. */
export function fromStorable(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(fromStorable)
  if (!plain.has(Object.getPrototypeOf(value))) return value
  const wrapped = (value as { [TAG]?: unknown })[TAG]
  if (Array.isArray(wrapped)) return unwrap(wrapped[0], wrapped[1])
  const copy: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) copy[key] = fromStorable(item)
  return copy
}

// The casts below state what `fromObject` wrote; the record's checksum was verified before.
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
    case 'object': {
      const result: Record<string, unknown> = {}
      for (const [key, item] of fromStorable(data) as [string, unknown][])
        Object.defineProperty(result, key, { value: item, enumerable: true, configurable: true, writable: true })
      return result
    }
    case 'error':
      return toError(fromStorable(data) as StoredError)
    default:
      throw new PerdureError('RUN_CORRUPT', `A record holds a value of the unknown kind \`${String(kind)}\`.`)
  }
}

interface StoredError {
  readonly name: string
  readonly message: string
  readonly stack?: string
  readonly own: Record<string, unknown>
  readonly cause?: unknown
}

function toError(stored: StoredError): Error {
  const options = 'cause' in stored ? { cause: stored.cause } : {}
  const { code, details } = stored.own
  const error =
    stored.name === 'PerdureError'
      ? // The code was written by a PerdureError of this or an earlier version.
        new PerdureError(code as PerdureError['code'], stored.message, {
          ...options,
          details: details as PerdureError['details'],
        })
      : new Error(stored.message, options)
  if (error.name !== stored.name) Object.defineProperty(error, 'name', { value: stored.name, configurable: true, writable: true })
  if (stored.stack !== undefined)
    Object.defineProperty(error, 'stack', { value: stored.stack, configurable: true, writable: true })
  if (!(error instanceof PerdureError)) Object.assign(error, stored.own)
  return error
}
