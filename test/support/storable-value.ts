import fc from 'fast-check'
import { PerdureError } from '../../src/errors.ts'

/** Any value that can be kept, each a tree. */
const text = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: 'binary', maxLength: 8 }) },
  fc.array(fc.constantFrom('\ud800', '\udfff', 'a', '\ufeff', '\0', '😀'), { maxLength: 4 }).map((units) => units.join('')),
  fc.string({ minLength: 30, maxLength: 90 }).map((tail) => `\ufeff${tail}`),
  fc.string({ unit: 'grapheme', minLength: 60, maxLength: 300 }),
)
/** Keys that are easily confused. */
export const oddKey = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom('a', 'b', 'c') },
  fc.constantFrom(
    '__proto__',
    'constructor',
    'toJSON',
    'toString',
    'hasOwnProperty',
    '$perdure',
    'xstate$$type',
    '',
    '0',
    '1',
    '-1',
  ),
  fc.constantFrom('\ud800', '\ud801', '\ufffd', '\ufeffa', 'length', 'prototype', 'id', 'ref', 'send', 'sessionId'),
  text,
)
const primitive = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, true, false, 0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.MIN_VALUE),
  fc.integer(),
  fc.double(),
  text,
  fc.bigInt(),
  fc
    .tuple(fc.constantFrom(63n, 64n, 127n, 128n, 2000n), fc.bigInt({ min: -3n, max: 3n }), fc.constantFrom(1n, -1n))
    .map(([bits, offset, sign]) => sign * 2n ** bits + offset),
)
const bytes = fc.uint8Array({ maxLength: 12 })
const whole = fc.uint8Array({ minLength: 24, maxLength: 24 })
const leaf = fc.oneof(
  { weight: 6, arbitrary: primitive },
  fc.oneof(
    fc.date(),
    fc.constant(new Date(Number.NaN)),
    fc.constantFrom(-1, 8.64e15, -8.64e15, 2 ** 32 * 1000).map((ms) => new Date(ms)),
  ),
  bytes,
  bytes.map((value) => Buffer.from(value)),
  bytes.map((value) => value.slice().buffer),
  bytes.map((value) => new DataView(value.slice().buffer)),
  bytes.map((value) => new Uint8ClampedArray(value)),
  whole.map((value) => value.subarray(1, 9)),
  fc
    .tuple(
      whole,
      fc.constantFrom<(buffer: ArrayBuffer) => unknown>(
        (b) => new Int8Array(b),
        (b) => new Int16Array(b),
        (b) => new Uint16Array(b),
        (b) => new Int32Array(b),
        (b) => new Uint32Array(b),
        (b) => new Float32Array(b),
        (b) => new Float64Array(b, 8, 1),
        (b) => new BigInt64Array(b),
        (b) => new BigUint64Array(b),
      ),
    )
    .map(([value, make]) => make(value.slice().buffer)),
  fc.constantFrom(/a/, /\ud800[/]/giu, /(?:)/y, /\n\//).map((value) => new RegExp(value)),
  fc.nat({ max: 5 }).map((lastIndex) => Object.assign(/x/g, { lastIndex })),
)

function define(target: object, entries: readonly (readonly [string, unknown])[]): object {
  for (const [key, value] of entries)
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
  return target
}
const isErrorKey = (key: string): boolean => !['message', 'stack', 'cause', 'errors', '__proto__'].includes(key)

class OwnError extends TypeError {}

export const storable = fc.letrec<{ value: unknown }>((tie) => {
  const value = tie('value')
  const entries = fc.array(fc.tuple(oddKey, value), { maxLength: 5 })
  const options = fc.oneof(fc.constant(undefined), fc.record({ cause: value }))
  const errorEntries = entries.map((all) => all.filter(([key]) => isErrorKey(key)))
  return {
    value: fc.oneof(
      { maxDepth: 5, depthIdentifier: 'storable' },
      leaf,
      entries.map((all) => define({}, all)),
      entries.map((all) => define(Object.create(null) as object, all)), // the type of Object.create is `any`
      fc.array(value, { maxLength: 5 }),
      fc.array(fc.tuple(fc.nat({ max: 9 }).map(String), value), { maxLength: 3 }).map((all) => define(new Array(10), all)),
      fc.array(fc.tuple(value, value), { maxLength: 4 }).map((all) => new Map(all)),
      fc.array(value, { maxLength: 4 }).map((all) => new Set(all)),
      fc
        .tuple(
          text,
          options,
          errorEntries,
          fc.constantFrom(Error, TypeError, RangeError, SyntaxError, EvalError, URIError, ReferenceError),
        )
        .map(([message, more, own, Kind]) => define(new Kind(message, more), own)),
      fc.tuple(fc.array(value, { maxLength: 3 }), text).map(([errors, message]) => new AggregateError(errors, message)),
      fc
        .tuple(text, options, fc.dictionary(fc.string(), value, { maxKeys: 3 }))
        .map(([message, more, details]) => new PerdureError('RUN_CONFLICT', message, { ...more, details })),
    ),
  }
}).value

/** What cannot be kept, each with the words that name it. */
export const unstorable: readonly (readonly [value: unknown, words: RegExp])[] = [
  [() => 1, /the function \(anonymous\)/],
  [function named() {}, /the function named/],
  [class Own {}, /the function Own/],
  [Symbol('s'), /Symbol\(s\)/],
  [new (class Own {})(), /an instance of Own/],
  [new (class Own extends Map {})(), /an instance of Own/],
  [new (class Own extends Date {})(), /an instance of Own/],
  [new (class Own extends Array {})(), /an instance of Own|an array/],
  [new (class Own extends Uint8Array {})(), /an instance of Own/],
  [new WeakMap(), /an instance of WeakMap/],
  [Promise.resolve(), /an instance of Promise/],
  [new String('boxed'), /an instance of String/],
  [new SharedArrayBuffer(1), /an instance of SharedArrayBuffer/],
  [new Proxy({}, {}), /a Proxy/],
  [new Proxy([], {}), /a Proxy/],
  [{ [Symbol('s')]: 1 }, /symbol keys/],
  [Object.assign([1], { named: 1 }), /an array with the property named/],
  [Object.assign([1, 2], { [Symbol('s')]: 1 }), /an array with the property Symbol\(s\)/],
  [Object.assign(new Array(2), { 0: 1, named: 1 }), /an array with the property named/],
  [Object.assign(new Map(), { own: 1 }), /a Map with the property own/],
  [Object.assign(new Date(), { own: 1 }), /a Date with the property own/],
  [new OwnError('cause', { cause: () => 1 }).cause, /the function/],
]
