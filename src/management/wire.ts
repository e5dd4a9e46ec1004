/**
 * What goes over the socket: HTTP whose bodies are frames, `[length: 4 bytes, little endian][payload: MessagePack]`. A request is `POST /<method>` with one payload, its arguments.
 * An answer ends with a frame of kind `value`, `end` or `error`; one that ends otherwise was cut off.
 */
import { PerdureError, type PerdureErrorCode } from '../errors.ts'
import { packStorable, unpackStorable } from '../persistence/codec.ts'
import { fromStorable, toStorable } from '../persistence/storable.ts'
import { toRecordedError } from '../runtime/recorded-error.ts'

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

const LENGTH_BYTES = 4
/** No frame is larger: a length above it is rubbish. */
const MAX_FRAME_BYTES = 1024 ** 3

/** Errors: `VALUE_NOT_STORABLE`. */
export const packValue = (value: unknown): Uint8Array => packStorable(toStorable(value))
/** Throws anything for what {@link packValue} did not write. */
export const unpackValue = (bytes: Uint8Array): unknown => fromStorable(unpackStorable(bytes))

/** Errors: `VALUE_NOT_STORABLE`. */
export function encodeFrame(frame: Frame): Uint8Array {
  const payload = packValue(frame)
  const bytes = new Uint8Array(LENGTH_BYTES + payload.byteLength)
  new DataView(bytes.buffer).setUint32(0, payload.byteLength, true)
  bytes.set(payload, LENGTH_BYTES)
  return bytes
}

/** The frames of a body. What is left of one that was cut off is left out. Throws anything for bytes that are no frames. */
export async function* readFrames(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  let parts: Uint8Array[] = []
  let bytes = 0
  let wanted = LENGTH_BYTES
  for await (const chunk of chunks) {
    parts.push(chunk)
    bytes += chunk.byteLength
    if (bytes < wanted) continue
    let rest = Buffer.concat(parts) // once for each frame, however many pieces it came in
    for (;;) {
      if (rest.byteLength < LENGTH_BYTES) {
        wanted = LENGTH_BYTES
        break
      }
      const length = rest.readUInt32LE(0)
      if (length > MAX_FRAME_BYTES) throw new RangeError(`A frame of ${length} bytes`)
      wanted = LENGTH_BYTES + length
      if (rest.byteLength < wanted) break
      yield unpackValue(rest.subarray(LENGTH_BYTES, wanted)) as Frame // written by `encodeFrame`, of the same version
      rest = rest.subarray(wanted)
    }
    parts = [rest]
    bytes = rest.byteLength
  }
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
