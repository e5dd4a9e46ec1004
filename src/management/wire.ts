/**
 * What goes over the socket: HTTP whose bodies are frames, `[length: 4 bytes, little endian][payload: MessagePack]`. A request is `POST /<method>` with one payload, its arguments.
 * An answer ends with a frame of kind `value`, `end` or `error`; one that ends otherwise was cut off.
 */
import { PerdureError, type PerdureErrorCode } from '../errors.ts'
import { packStorable, unpackStorable } from '../persistence/codec.ts'
import { fromStorable, toStorable } from '../persistence/storable.ts'
import { toRecordedError } from '../runtime/recorded-error.ts'
import { readParts, toPart } from './parts.ts'

/** What an error says to another process. Its stack and cause stay where they are. */
interface WireError {
  readonly code?: string | undefined
  readonly name: string
  readonly message: string
  readonly details?: unknown
}

export type Frame =
  | { readonly kind: 'item' | 'value'; readonly value: unknown }
  | { readonly kind: 'end' }
  | { readonly kind: 'error'; readonly error: WireError }

/** No frame is larger: a length above it is rubbish. */
const MAX_FRAME_BYTES = 1024 ** 3

/** Errors: `VALUE_NOT_STORABLE`. */
export const packValue = (value: unknown): Uint8Array => packStorable(toStorable(value))
/** Throws anything for what {@link packValue} did not write. */
export const unpackValue = (bytes: Uint8Array): unknown => fromStorable(unpackStorable(bytes))

/** Errors: `VALUE_NOT_STORABLE`. */
export const encodeFrame = (frame: Frame): Uint8Array => toPart(packValue(frame))

/** The frames of a body. What is left of one that was cut off is left out. Throws anything for bytes that are no frames. */
export async function* readFrames(chunks: AsyncIterable<Uint8Array>, maxBytes = MAX_FRAME_BYTES): AsyncGenerator<Frame> {
  for await (const payload of readParts(chunks, maxBytes)) yield unpackValue(payload) as Frame // written by `encodeFrame`, of the same version
}

export function toWireError(thrown: unknown): WireError {
  const error = toRecordedError(thrown) // its details can be sent
  const { name, message } = error
  return error instanceof PerdureError ? { code: error.code, name, message, details: error.details } : { name, message }
}

/** The error as it was thrown in the other process: a `PerdureError` of the same code, or one of the same name. */
export function fromWireError({ code, name, message, details }: WireError): Error {
  if (code !== undefined)
    return new PerdureError(code as PerdureErrorCode, message, { details: details as PerdureError['details'] }) // written by `toWireError`
  if (name === 'TypeError') return new TypeError(message)
  return Object.defineProperty(new Error(message), 'name', { value: name, configurable: true, writable: true })
}
