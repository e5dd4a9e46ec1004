import { isPerdureError, PerdureError } from '../errors.ts'

/**
 * Errors: the nearest class of the language (or `PerdureError`), and their properties. An error of a user's class comes back as the
 * class that it extends, with its name and all of its properties; symbol properties are left out.
 */
export interface StoredError {
  readonly kind: string
  readonly name: unknown
  /** `message`, `stack`, `cause` and what else the language keeps out of sight. */
  readonly hidden: readonly (readonly [key: unknown, value: unknown])[]
  readonly own: readonly (readonly [key: unknown, value: unknown])[]
}

const kinds = new Map<string, () => Error>([
  // Code, message and details are among the properties.
  ['PerdureError', () => new PerdureError('RUN_CORRUPT', '')],
  ['AggregateError', () => new AggregateError([])],
  ['EvalError', () => new EvalError()],
  ['RangeError', () => new RangeError()],
  ['ReferenceError', () => new ReferenceError()],
  ['SyntaxError', () => new SyntaxError()],
  ['TypeError', () => new TypeError()],
  ['URIError', () => new URIError()],
  ['Error', () => new Error()],
])
const hiddenKeys = ['message', 'stack', 'cause', 'errors', 'name']

function kindOf(error: Error): string {
  if (isPerdureError(error)) return 'PerdureError'
  for (let prototype = toPrototype(error); prototype !== null; prototype = toPrototype(prototype)) {
    const { name } = prototype.constructor
    if (kinds.has(name) && name !== 'PerdureError') return name
  }
  return 'Error'
}

/** An error of the nearest class of the language. */
export function toNearestError(error: Error, message: string): Error {
  const nearest = kinds.get(kindOf(error))?.() ?? new Error()
  Object.defineProperty(nearest, 'message', { value: message, configurable: true, writable: true })
  return nearest
}

const toPrototype = (value: object): object | null => Object.getPrototypeOf(value) as object | null // typed as any

/** `write` makes the storable form of a property's value, `writeKey` that of its name. */
export function toStoredError(
  error: Error,
  write: (value: unknown, key: string) => unknown,
  writeKey: (key: string) => unknown,
): StoredError {
  const entry = (key: string): readonly [unknown, unknown] => [writeKey(key), write(Reflect.get(error, key), key)]
  const own = Object.keys(error)
  // A DOMException has its message from its prototype.
  const isThere = (key: string): boolean => Object.hasOwn(error, key) || (key === 'message' && error.message !== '')
  const hidden = hiddenKeys.filter((key) => isThere(key) && !own.includes(key))
  return { kind: kindOf(error), name: write(error.name, 'name'), hidden: hidden.map(entry), own: own.map(entry) }
}

/** What {@link toStoredError} was given, once its parts have been restored. Throws for a kind that it does not write. */
export function fromStoredError({ kind, name, hidden, own }: StoredError): Error {
  const error = kinds.get(kind)?.()
  if (error === undefined) throw new TypeError(`Unknown kind of error \`${kind}\``)
  for (const key of Object.getOwnPropertyNames(error)) Reflect.deleteProperty(error, key)
  const define = (key: unknown, value: unknown, enumerable: boolean): void => {
    Object.defineProperty(error, String(key), { value, enumerable, configurable: true, writable: true })
  }
  for (const [key, value] of hidden) define(key, value, false)
  for (const [key, value] of own) define(key, value, true)
  if (!Object.hasOwn(error, 'name') && error.name !== name) define('name', name, false) // that of a user's class
  return error
}
