/** A sequence of byte strings as one: `[length: 4 bytes, little endian][bytes]` each. */
const LENGTH_BYTES = 4

export function toPart(bytes: Uint8Array): Uint8Array {
  const part = new Uint8Array(LENGTH_BYTES + bytes.byteLength)
  new DataView(part.buffer).setUint32(0, bytes.byteLength, true)
  part.set(bytes, LENGTH_BYTES)
  return part
}

/** What {@link toPart} was given. What is left of one that was cut off is left out. Throws a `RangeError` for a length above `maxBytes`: it is rubbish. */
export async function* readParts(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = []
  let bytes = 0
  let wanted = LENGTH_BYTES
  for await (const chunk of chunks) {
    pieces.push(chunk)
    bytes += chunk.byteLength
    if (bytes < wanted) continue
    let rest = Buffer.concat(pieces) // once for each part, however many pieces it came in
    for (;;) {
      if (rest.byteLength < LENGTH_BYTES) {
        wanted = LENGTH_BYTES
        break
      }
      const length = rest.readUInt32LE(0)
      if (length > maxBytes) throw new RangeError(`Expected at most ${maxBytes} bytes, got ${length}`)
      wanted = LENGTH_BYTES + length
      if (rest.byteLength < wanted) break
      yield rest.subarray(LENGTH_BYTES, wanted)
      rest = rest.subarray(wanted)
    }
    pieces = [rest]
    bytes = rest.byteLength
  }
}
