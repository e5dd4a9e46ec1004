/**
 * Bytes in their many classes: written as the name of the class and a plain `Uint8Array` of what it shows, in the byte order of
 * the machine (little endian wherever Node runs). What is read shares memory with nothing else.
 */
export interface StoredBytes {
  readonly name: string
  readonly bytes: Uint8Array
}

type FromBuffer = (buffer: ArrayBuffer) => unknown

interface BytesClass {
  readonly name: string
  readonly prototype: object
  new (buffer: ArrayBuffer): unknown
}

const classes: readonly BytesClass[] = [
  ...[Uint8Array, Uint8ClampedArray, Int8Array, Uint16Array, Int16Array, Uint32Array, Int32Array],
  ...[Float32Array, Float64Array, BigInt64Array, BigUint64Array, DataView],
]

const kinds: readonly (readonly [name: string, prototype: object, restore: FromBuffer])[] = [
  ...classes.map((Kind) => [Kind.name, Kind.prototype, (buffer: ArrayBuffer) => new Kind(buffer)] as const), // a tuple
  ['Buffer', Buffer.prototype, (buffer) => Buffer.from(buffer)],
  ['ArrayBuffer', ArrayBuffer.prototype, (buffer) => buffer],
]
const names = new Map(kinds.map(([name, prototype]) => [prototype, name]))
const restores = new Map(kinds.map(([name, , restore]) => [name, restore]))

/** `undefined`: not bytes, or of a class that could not be given back. */
export function toStoredBytes(value: object): StoredBytes | undefined {
  const name = names.get(Object.getPrototypeOf(value))
  if (name === undefined) return undefined
  if (value instanceof ArrayBuffer) return { name, bytes: new Uint8Array(value) }
  if (!ArrayBuffer.isView(value)) return undefined
  return { name, bytes: new Uint8Array(value.buffer, value.byteOffset, value.byteLength) }
}

/** What {@link toStoredBytes} was given. Throws for a name that it does not write. */
export function fromStoredBytes({ name, bytes }: StoredBytes): unknown {
  const restore = restores.get(name)
  if (restore === undefined) throw new TypeError(`Unknown kind of bytes \`${name}\``)
  return restore(new Uint8Array(bytes).buffer)
}
