/** What was kept of a stream of bytes. */
export interface OutputText {
  readonly text: string
  /** All bytes that were written. */
  readonly totalBytes: number
  /** Bytes that are missing in the middle of `text`; 0 when it is complete. */
  readonly cutBytes: number
}

/** Keeps the beginning and the end of what is written to it. */
export interface BoundedOutput {
  /** Bytes written so far. */
  readonly totalBytes: number
  readonly write: (chunk: Uint8Array) => void
  readonly toText: () => OutputText
}

/**
 * A sink for bytes that holds at most `maxBytes` of them, however many are written: the first half and the last half.
 *
 * `toText` decodes them as UTF-8, never cuts a character in two, and says between the halves exactly how many bytes are
 * missing. Bytes that are not UTF-8 become U+FFFD.
 */
export function createBoundedOutput(maxBytes: number): BoundedOutput {
  const headSize = Math.ceil(maxBytes / 2)
  const tailSize = maxBytes - headSize
  const headChunks: Buffer[] = []
  let headBytes = 0
  let ring: Buffer | undefined
  let tailBytes = 0

  return {
    get totalBytes() {
      return headBytes + tailBytes
    },
    write(chunk) {
      const part = chunk.subarray(0, headSize - headBytes)
      if (part.length > 0) {
        // A copy: the chunk may be a small view of a large buffer.
        headChunks.push(Buffer.from(part))
        headBytes += part.length
      }
      const rest = chunk.subarray(part.length)
      if (rest.length === 0) return
      ring ??= Buffer.alloc(tailSize)
      writeRing(ring, tailBytes, rest)
      tailBytes += rest.length
    },
    toText() {
      return toOutputText(Buffer.concat(headChunks), readRing(ring, tailBytes), headBytes + tailBytes)
    },
  }
}

/** A text as it is when it has at most `maxBytes` as UTF-8; else its beginning and its end, and between them how much was cut. */
export function boundText(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes || Buffer.byteLength(text) <= maxBytes) return text
  const output = createBoundedOutput(maxBytes)
  output.write(Buffer.from(text))
  return output.toText().text
}

function writeRing(ring: Buffer, written: number, chunk: Uint8Array): void {
  if (ring.length === 0) return
  const last = chunk.subarray(Math.max(0, chunk.length - ring.length))
  const start = (written + chunk.length - last.length) % ring.length
  const untilEnd = last.subarray(0, ring.length - start)
  ring.set(untilEnd, start)
  ring.set(last.subarray(untilEnd.length), 0)
}

function readRing(ring: Buffer | undefined, written: number): Buffer {
  if (ring === undefined || ring.length === 0) return Buffer.alloc(0)
  if (written <= ring.length) return ring.subarray(0, written)
  const start = written % ring.length
  return Buffer.concat([ring.subarray(start), ring.subarray(0, start)])
}

/** The text of a stream of `totalBytes` of which the beginning and the end were kept. */
export function toOutputText(head: Buffer, tail: Buffer, totalBytes: number): OutputText {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  if (head.length + tail.length === totalBytes) {
    return { text: decoder.decode(Buffer.concat([head, tail])), totalBytes, cutBytes: 0 }
  }
  const first = withoutBrokenEnd(head)
  const last = withoutBrokenStart(tail)
  const cutBytes = totalBytes - first.length - last.length
  const text = `${decoder.decode(first)}\n[… ${cutBytes} of ${totalBytes} bytes cut …]\n${decoder.decode(last)}`
  return { text, totalBytes, cutBytes }
}

const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80

function withoutBrokenEnd(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back] ?? 0
    if (isContinuation(byte)) continue
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return size > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}

function withoutBrokenStart(bytes: Buffer): Buffer {
  let start = 0
  while (start < 3 && isContinuation(bytes[start])) start++
  return bytes.subarray(start)
}
