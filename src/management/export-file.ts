/**
 * The file of an exported run, `*.perdure`: a line of JSON that says what it is, the records compressed with gzip, and the SHA-256 of all that. Each record is two parts (see `parts.ts`): its
 * key, and its bytes as they are in the store. They are in the order of their keys.
 */
import { createHash, type Hash } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import { createGunzip, createGzip } from 'node:zlib'
import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import { readParts, toPart } from './parts.ts'
import type { Entry } from './scan.ts'

const FORMAT = 1
const DIGEST_BYTES = 32
const MAX_HEADER_BYTES = 16 * 1024
/** No record is larger. */
const MAX_RECORD_BYTES = 512 * 1024 ** 2

const Header = z.looseObject({
  perdure: z.literal('export'),
  format: z.number(),
  /** The run. */
  id: z.string(),
  /** When it was exported, in epoch milliseconds. */
  createdAt: z.number(),
  /** The version of this package that did it. */
  version: z.string(),
})
type Header = Readonly<z.output<typeof Header>>

/** A file that cannot be imported. */
export function toInvalid(what: string, options: { readonly cause?: unknown; readonly run?: string } = {}): PerdureError {
  const { cause, run } = options
  return new PerdureError(
    'EXPORT_INVALID',
    `The export cannot be imported: ${what}. Nothing was written. Export the run again.`,
    {
      cause,
      details: run === undefined ? {} : { run },
    },
  )
}

export async function* writeExport(
  about: Pick<Header, 'id' | 'createdAt' | 'version'>,
  entries: AsyncIterable<Entry>,
): AsyncGenerator<Uint8Array, void, void> {
  const digest = createHash('sha256')
  const line = Buffer.from(`${JSON.stringify({ perdure: 'export', format: FORMAT, ...about })}\n`)
  digest.update(line)
  yield toPlain(line)
  const gzip = createGzip()
  pipeline(Readable.from(toParts(entries)), gzip, () => {}) // an error ends the loop below
  for await (const chunk of gzip as AsyncIterable<Buffer>) {
    digest.update(chunk)
    yield toPlain(chunk)
  }
  yield toPlain(digest.digest())
}

/** A Buffer is another thing to those who compare, print or send it. */
const toPlain = ({ buffer, byteOffset, byteLength }: Buffer): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength)

async function* toParts(entries: AsyncIterable<Entry>): AsyncGenerator<Uint8Array> {
  for await (const [key, bytes] of entries) {
    yield toPart(Buffer.from(key))
    yield toPart(bytes)
  }
}

/**
 * What is in an export. Whether it is whole is known when its last entry has been read. Errors, also of the iteration: `EXPORT_INVALID`, those of `source`.
 */
export async function readExport(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly header: Header; readonly entries: AsyncIterable<Entry> }> {
  const chunks = source[Symbol.asyncIterator]()
  let start: Buffer = Buffer.alloc(0)
  let end = -1
  while (end === -1) {
    const { done, value } = await chunks.next()
    if (done === true || start.byteLength > MAX_HEADER_BYTES) {
      await chunks.return?.()
      throw toInvalid('it is not the export of a run')
    }
    start = Buffer.concat([start, value])
    end = start.indexOf('\n')
  }
  const line = start.subarray(0, end + 1)
  const header = parseHeader(line.toString())
  const digest = createHash('sha256').update(line)
  const rest = { [Symbol.asyncIterator]: () => chunks }
  return { header, entries: readEntries(readBody(start.subarray(end + 1), rest, digest)) }
}

function parseHeader(line: string): Header {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    throw toInvalid('it is not the export of a run', { cause })
  }
  const { success, data, error } = Header.safeParse(value)
  if (!success) throw toInvalid('it is not the export of a run', { cause: error })
  if (data.format !== FORMAT)
    throw toInvalid(`it has format ${data.format}, and this version of perdure (${data.version} wrote it) reads format ${FORMAT}`)
  return data
}

/** All but the digest at the end, which is compared. */
async function* readBody(first: Buffer, chunks: AsyncIterable<Uint8Array>, digest: Hash): AsyncGenerator<Uint8Array> {
  let held = first
  const cut = (): Uint8Array => {
    const body = held.subarray(0, Math.max(0, held.byteLength - DIGEST_BYTES))
    held = held.subarray(body.byteLength)
    digest.update(body)
    return body
  }
  yield cut()
  for await (const chunk of chunks) {
    held = Buffer.concat([held, chunk])
    yield cut()
  }
  if (!digest.digest().equals(held)) throw toInvalid('it was cut off or changed')
}

async function* readEntries(body: AsyncIterable<Uint8Array>): AsyncGenerator<Entry, void, void> {
  const gunzip = createGunzip()
  pipeline(Readable.from(body), gunzip, () => {}) // an error ends the loop below
  let key: string | undefined
  try {
    for await (const part of readParts(gunzip, MAX_RECORD_BYTES)) {
      if (key === undefined) {
        key = part.toString()
        continue
      }
      yield [key, new Uint8Array(part)]
      key = undefined
    }
  } catch (error) {
    const isOurs = error instanceof RangeError || (error instanceof Error && 'code' in error && /^Z_/.test(String(error.code)))
    throw isOurs ? toInvalid('it was cut off or changed', { cause: error }) : error
  }
  if (key !== undefined) throw toInvalid('it was cut off or changed')
}
