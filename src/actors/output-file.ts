import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type OutputText, toOutputText } from './bounded-output.ts'

/**
 * A stream of bytes in a file that never grows beyond a bound: a line that says how much was written and how much is kept, the first half,
 * and a ring of the last half.
 */

/** `total head tail`, of fixed length, so that it can be written again in place. */
const headerBytes = 38

/** Where the bytes of a stream are in its file. */
interface Layout {
  readonly totalBytes: number
  readonly headSize: number
  readonly tailSize: number
}

/** Writes a stream to its file. */
export interface OutputFile {
  /** All bytes that were written. */
  readonly totalBytes: number
  /** The disk took no more: what came after that is not in the file. */
  readonly failed: boolean
  readonly write: (chunk: Uint8Array) => void
  /** Resolves synchronously: everything is on the disk then. */
  readonly close: () => void
}

/**
 * Makes the file of a stream, of which `maxBytes` are kept. Every chunk is in the file when `write` returns, so that a reader sees it and the
 * death of the writer loses nothing that was written.
 *
 * @throws Error of the file system when the file exists or cannot be made. A write that fails later does not throw: see `failed`.
 */
export function createOutputFile(path: string, maxBytes: number): OutputFile {
  const headSize = Math.ceil(maxBytes / 2)
  const tailSize = maxBytes - headSize
  const file = openSync(path, 'wx', 0o600)
  let totalBytes = 0
  let failed = false
  const writeHeader = () => writeAll(file, Buffer.from(toHeader({ totalBytes, headSize, tailSize })), 0)
  writeHeader()

  function store(chunk: Uint8Array): void {
    const first = chunk.subarray(0, Math.max(0, headSize - totalBytes))
    if (first.length > 0) writeAll(file, first, headerBytes + totalBytes)
    const rest = chunk.subarray(first.length)
    if (rest.length === 0 || tailSize === 0) return
    const last = rest.subarray(Math.max(0, rest.length - tailSize))
    const start = (totalBytes + chunk.length - last.length - headSize) % tailSize
    const untilEnd = last.subarray(0, tailSize - start)
    writeAll(file, untilEnd, headerBytes + headSize + start)
    if (untilEnd.length < last.length) writeAll(file, last.subarray(untilEnd.length), headerBytes + headSize)
  }

  return {
    get totalBytes() {
      return totalBytes
    },
    get failed() {
      return failed
    },
    write(chunk) {
      try {
        if (!failed) store(chunk)
      } catch {
        failed = true
      }
      totalBytes += chunk.length
      // The number comes after the bytes: a reader never takes bytes for written that are not.
      if (!failed) writeHeader()
    },
    close() {
      try {
        fsyncSync(file)
      } catch {
        failed = true
      }
      closeSync(file)
    },
  }
}

/** What the file of a stream holds, as text; nothing when there is no such file. Also while it is being written. */
export async function readOutputFile(path: string): Promise<OutputText> {
  const empty = { text: '', totalBytes: 0, cutBytes: 0 }
  const file = await open(path, 'r').catch(ignoreMissing)
  if (file === undefined) return empty
  try {
    const layout = await readLayout(file)
    if (layout === undefined) return empty
    const { totalBytes, headSize } = layout
    const head = await readRange(file, layout, 0, Math.min(totalBytes, headSize))
    const tail = await readRange(file, layout, oldestOfTail(layout), totalBytes)
    return toOutputText(head, tail, totalBytes)
  } finally {
    await file.close()
  }
}

/** Bytes of a stream from a place on, as far as they are still there. */
export interface OutputPart {
  readonly bytes: Buffer
  /** Where in the stream they begin: later than asked for when what was between is gone. */
  readonly start: number
  /** Where in the stream they end. */
  readonly end: number
}

/** What came to a stream since its byte `from`; `undefined` when that is nothing. */
export async function readOutputSince(path: string, from: number): Promise<OutputPart | undefined> {
  const file = await open(path, 'r').catch(ignoreMissing)
  if (file === undefined) return undefined
  try {
    const layout = await readLayout(file)
    if (layout === undefined || layout.totalBytes <= from) return undefined
    const { headSize, totalBytes: end } = layout
    if (from < Math.min(headSize, end)) {
      // The rest is the next part.
      const headEnd = Math.min(headSize, end)
      return { bytes: await readRange(file, layout, from, headEnd), start: from, end: headEnd }
    }
    const start = Math.max(from, oldestOfTail(layout))
    const bytes = await readRange(file, layout, start, end)
    const now = await readLayout(file)
    // What was overwritten while it was read is not what was there.
    const whole = Math.min(end, Math.max(start, now === undefined ? start : oldestOfTail(now)))
    return { bytes: bytes.subarray(whole - start), start: whole, end }
  } finally {
    await file.close()
  }
}

const toHeader = ({ totalBytes, headSize, tailSize }: Layout) =>
  `${digits(totalBytes, 17)} ${digits(headSize, 9)} ${digits(tailSize, 9)}\n`

const digits = (value: number, length: number) => String(value).padStart(length, '0')

async function readLayout(file: FileHandle): Promise<Layout | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0)
  const [, total, head, tail] = /^(\d{17}) (\d{9}) (\d{9})\n$/.exec(buffer.toString('latin1', 0, bytesRead)) ?? []
  return total === undefined ? undefined : { totalBytes: Number(total), headSize: Number(head), tailSize: Number(tail) }
}

const oldestOfTail = ({ totalBytes, headSize, tailSize }: Layout) =>
  Math.min(totalBytes, Math.max(headSize, totalBytes - tailSize))

/** Reads the bytes from `start` to `end` of the stream, which are all of the head or all of the ring. */
async function readRange(file: FileHandle, { headSize, tailSize }: Layout, start: number, end: number): Promise<Buffer> {
  if (end <= start) return Buffer.alloc(0)
  if (start < headSize) return readBytes(file, headerBytes + start, end - start)
  const first = (start - headSize) % tailSize
  const untilEnd = Math.min(end - start, tailSize - first)
  const ring = headerBytes + headSize
  const parts = [await readBytes(file, ring + first, untilEnd), await readBytes(file, ring, end - start - untilEnd)]
  return Buffer.concat(parts)
}

async function readBytes(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let count = 0
  while (count < length) {
    const { bytesRead } = await file.read(bytes, count, length - count, position + count)
    if (bytesRead === 0) break
    count += bytesRead
  }
  return bytes.subarray(0, count)
}

function writeAll(file: number, bytes: Uint8Array, position: number): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done, position + done)
}

function ignoreMissing(error: unknown): undefined {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
  throw error
}
