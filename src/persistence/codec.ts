import { crc32 } from 'node:zlib'
import { Packr, RESERVE_START_SPACE } from 'msgpackr/pack'
import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import { fromStorable, toStorable } from './storable.ts'

/**
 * Bytes of one record: `[format: 1 byte][CRC-32 of key and payload: 4 bytes, little endian][payload: MessagePack]`. The key is part of the
 * checksum, so that a record found under another key is noticed. Keeps P9: what is read is verified first. Format 2 is that of a delta that names steps: a reader that
 * does not know of them must not take it.
 */
const FORMAT = 1
const NEWEST_FORMAT = 2
const HEADER_BYTES = 5

const packr = new Packr({
  useRecords: false,
  mapsAsObjects: true,
  useBigIntExtension: true,
  variableMapSize: true,
  useToJSON: false,
})

/** A Buffer's `slice` shares its memory, and it is compared and printed in other ways: nobody is handed one. */
const toPlain = ({ buffer, byteOffset, byteLength }: Uint8Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength)

const checksum = (key: string, payload: Uint8Array): number => crc32(payload, crc32(key))

/** Bytes of a storable value that become part of a record. */
export const packStorable = (value: unknown): Uint8Array => toPlain(packr.pack(value))
/** What {@link packStorable} was given. */
export const unpackStorable = (bytes: Uint8Array): unknown => packr.unpack(bytes)

/** The bytes of a record of `value` under `key`. The value must be storable already; see `toStorable`. */
export function encodeStorable(key: string, value: unknown, format: 1 | 2 = FORMAT): Uint8Array {
  const bytes = packr.pack(value, RESERVE_START_SPACE + HEADER_BYTES) // a part of a larger buffer, and nobody else's
  bytes[0] = format
  bytes.writeUInt32LE(checksum(key, bytes.subarray(HEADER_BYTES)), 1)
  return toPlain(bytes)
}

/** The bytes of a record of `value` under `key`. Errors: `VALUE_NOT_STORABLE`. */
export function encodeRecord(key: string, value: unknown): Uint8Array {
  return encodeStorable(key, toStorable(value))
}

/** The checksum that a record carries: names its content in a chain. */
export function readChecksum(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(1, true)
}

function corrupt(key: string, what: string, cause?: unknown): PerdureError {
  return new PerdureError(
    'RUN_CORRUPT',
    `The record \`${key}\` ${what}. Nothing was changed. Restore the store from a backup, or start the run anew under another id.`,
    { cause, details: { key } },
  )
}

/** The bytes of the record under `from` as a record under another key. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export function moveRecord(from: string, to: string, bytes: Uint8Array): Uint8Array {
  decodeStorable(from, bytes)
  const moved = Buffer.from(bytes)
  moved.writeUInt32LE(checksum(to, moved.subarray(HEADER_BYTES)), 1)
  return toPlain(moved)
}

/** What {@link encodeStorable} was given. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export function decodeStorable(key: string, bytes: Uint8Array): unknown {
  if (bytes.byteLength <= HEADER_BYTES) throw corrupt(key, 'is cut short')
  const format = bytes[0] ?? 0
  if (format > NEWEST_FORMAT)
    throw new PerdureError(
      'STORE_FORMAT_NEWER',
      `The record \`${key}\` has format ${format}; this version of perdure reads up to ${NEWEST_FORMAT}. Open it with a newer perdure.`,
      { details: { key, format } },
    )
  if (format < 1) throw corrupt(key, 'has no valid format')
  const payload = bytes.subarray(HEADER_BYTES)
  if (readChecksum(bytes) !== checksum(key, payload)) throw corrupt(key, 'does not match its checksum')
  try {
    return packr.unpack(payload)
  } catch (cause) {
    throw corrupt(key, 'cannot be decoded', cause)
  }
}

/** What {@link encodeRecord} was given. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export function decodeRecord(key: string, bytes: Uint8Array): unknown {
  const storable = decodeStorable(key, bytes)
  try {
    return fromStorable(storable)
  } catch (cause) {
    throw corrupt(key, 'holds what this version of perdure does not write', cause)
  }
}

/** What {@link encodeRecord} was given, if it is of that shape: a checksum says that it is what was written, not that this version wrote it. Errors: as {@link decodeRecord}. */
export function decodeShaped(schema: z.ZodType, key: string, bytes: Uint8Array): unknown {
  const value = decodeRecord(key, bytes)
  assertShape(schema, key, value)
  return value
}

/** Errors: `RUN_CORRUPT`. */
export function assertShape(schema: z.ZodType, key: string, value: unknown): void {
  const { success, error } = schema.safeParse(value)
  if (!success) throw corrupt(key, `is not what it should be: ${z.prettifyError(error)}`, error)
}
