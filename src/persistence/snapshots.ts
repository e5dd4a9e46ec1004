import { isPerdureError, PerdureError } from '../errors.ts'
import { decodeStorable, encodeStorable, packStorable, readChecksum, unpackStorable } from './codec.ts'
import { createDelta, type Delta } from './delta.ts'
import { baseKey, deltaKey, deltaRange } from './keys.ts'
import { createPatcher } from './patch.ts'
import { toStorable } from './storable.ts'
import type { Operation, Store } from './store.ts'

/**
 * A run's snapshot. Until it first outgrows 512 bytes it is kept in the run's head, as a whole: one record a commit. From then on it is a chain:
 * one base and the deltas since. A new base is written when the chain is more than twice the snapshot: what only grows is hardly ever written
 * again, what is overwritten is written again when half of the chain is out of date. So writing costs at most a constant factor of what
 * changed, and restoring reads at most 2.5 times the snapshot, as large as it was when it was last measured, or 8 KB if that is more (P6).
 * Each record names the checksum of the one before it: a hole is noticed (P9).
 */
interface Link {
  /** Number of the record in its chain; the base has the number of the last delta it took in. */
  readonly seq: number
  /** Checksum of the record before; 0 for a base. */
  readonly after: number
  readonly delta: Delta
  /** The snapshot as a base would be this many bytes: it was measured, and the chain was not yet twice that. */
  readonly size?: number
}

/** Where the chain ends: kept in the run's head, so that a lost end is noticed too. */
export interface ChainEnd {
  readonly seq: number
  readonly checksum: number
  /** The whole snapshot, when it is small: then there is no chain. */
  readonly inline?: Uint8Array | undefined
}

/** A chain up to this size is not made shorter: it would save nothing. */
const SMALL_BYTES = 8 * 1024

/** To measure the snapshot is to pack it: only a chain that grew by this factor since the last time is worth it. */
const MEASURE_GROWTH = 1.25

/** A snapshot up to this size is kept in the head. */
const INLINE_BYTES = 512

export interface SnapshotLog {
  /** The snapshot as last written or read; `undefined` before the first. */
  readonly value: unknown
  readonly end: ChainEnd
  /** What brings the stored snapshot to `next`; none when nothing changed. Errors: `VALUE_NOT_STORABLE`. */
  write(next: unknown): readonly Operation[]
}

/** How large the chain is, and how large the snapshot. */
interface ChainSize {
  readonly bytes: number
  /** The snapshot as a base, when it was last measured; 0 while there is no chain. */
  readonly snapshotBytes: number
  /** The chain at that time. */
  readonly measuredAt: number
}

const NO_CHAIN: ChainSize = { bytes: 0, snapshotBytes: 0, measuredAt: 0 }

const isTooLong = ({ bytes, snapshotBytes }: ChainSize): boolean => bytes > Math.max(2 * snapshotBytes, SMALL_BYTES)

function createLog(run: string, state: { value: unknown; end: ChainEnd; baseSeq: number; size: ChainSize }): SnapshotLog {
  let { value, end, baseSeq, size } = state
  const isInline = (): boolean => size.bytes === 0

  /** Whether `next` was, or needed not be, kept in the head. */
  const writeInline = (next: unknown): boolean => {
    const inline = packStorable([toStorable(next)])
    if (inline.byteLength > INLINE_BYTES) return false
    if (end.inline === undefined || !isSame(end.inline, inline)) end = { seq: end.seq + 1, checksum: 0, inline }
    baseSeq = end.seq // there is no record up to here
    value = next
    return true
  }

  const put = (key: string, bytes: Uint8Array, seq: number): Operation => {
    end = { seq, checksum: readChecksum(bytes) }
    return { type: 'put', key, value: bytes }
  }

  const toBase = (seq: number, next: unknown): Uint8Array => {
    const link: Link = { seq, after: 0, delta: createDelta(undefined, next) }
    return encodeStorable(baseKey(run), link)
  }

  const writeBase = (seq: number, bytes: Uint8Array): readonly Operation[] => {
    const operations = [put(baseKey(run), bytes, seq)]
    for (let old = baseSeq + 1; old < seq; old++) operations.push({ type: 'del', key: deltaKey(run, old) })
    baseSeq = seq
    size = { bytes: bytes.byteLength, snapshotBytes: bytes.byteLength, measuredAt: bytes.byteLength }
    return operations
  }

  const writeNext = (next: unknown): readonly Operation[] => {
    const seq = end.seq + 1
    const delta = createDelta(value, next)
    if (delta.patch === null) return []
    if (isInline()) return writeBase(seq, toBase(seq, next))
    const key = deltaKey(run, seq)
    let link: Link = { seq, after: end.checksum, delta }
    let bytes = encodeStorable(key, link)
    const grown = { ...size, bytes: size.bytes + bytes.byteLength }
    if (isTooLong(grown) && grown.bytes >= MEASURE_GROWTH * size.measuredAt) {
      const base = toBase(seq, next)
      const measured = { bytes: grown.bytes, snapshotBytes: base.byteLength, measuredAt: grown.bytes }
      if (isTooLong(measured)) return writeBase(seq, base)
      size = measured
      link = { ...link, size: base.byteLength }
      bytes = encodeStorable(key, link)
    } else size = grown
    return [put(key, bytes, seq)]
  }

  return {
    get value() {
      return value
    },
    get end() {
      return end
    },
    write(next) {
      if (isInline() && writeInline(next)) return []
      const operations = writeNext(next)
      value = next
      return operations
    },
  }
}

/** The log of a run that has no snapshot yet. */
export function createSnapshotLog(run: string): SnapshotLog {
  return createLog(run, { value: undefined, end: { seq: 0, checksum: 0 }, baseSeq: 0, size: NO_CHAIN })
}

/** Reads a run's snapshot and checks that its chain is whole up to `expected`. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export async function loadSnapshotLog(store: Store, run: string, expected: ChainEnd): Promise<SnapshotLog> {
  if (expected.seq === 0) return createSnapshotLog(run)
  const broken = (what: string, cause?: unknown): PerdureError =>
    new PerdureError(
      'RUN_CORRUPT',
      `The snapshot of run \`${run}\` is damaged: ${what}. Other runs are not touched. Restore the store from a backup, or start the run anew under another id.`,
      { cause, details: { run } },
    )
  const patcher = createPatcher(undefined)
  if (expected.inline !== undefined) {
    try {
      const [storable] = unpackStorable(expected.inline) as [unknown] // written by `writeInline`
      patcher.apply({ patch: ['set', storable], references: [] })
    } catch (error) {
      throw broken('it cannot be read from its head', error)
    }
    return createLog(run, { value: patcher.value, end: expected, baseSeq: expected.seq, size: NO_CHAIN })
  }
  let size = NO_CHAIN
  const read = (key: string, bytes: Uint8Array, before: ChainEnd | undefined): ChainEnd => {
    try {
      const link = decodeStorable(key, bytes) as Link // checksummed: written by `put`
      if (before !== undefined && link.seq !== before.seq + 1) throw broken(`record ${before.seq + 1} of it is missing`)
      if (link.after !== (before?.checksum ?? 0)) throw broken(`record ${link.seq} of it does not follow the one before`)
      patcher.apply(link.delta)
      size = { ...size, bytes: size.bytes + bytes.byteLength }
      const snapshotBytes = before === undefined ? bytes.byteLength : link.size
      if (snapshotBytes !== undefined) size = { ...size, snapshotBytes, measuredAt: size.bytes }
      return { seq: link.seq, checksum: readChecksum(bytes) }
    } catch (error) {
      if (isPerdureError(error) && (error.code !== 'RUN_CORRUPT' || error.details.run === run)) throw error
      throw broken(`its record \`${key}\` cannot be read`, error)
    }
  }

  const base = await store.get(baseKey(run))
  if (base === undefined) throw broken('its base record is missing')
  let end = read(baseKey(run), base, undefined)
  const baseSeq = end.seq
  for await (const [key, bytes] of store.entries(deltaRange(run))) end = read(key, bytes, end)
  if (end.seq !== expected.seq || end.checksum !== expected.checksum)
    throw broken(`it ends at record ${end.seq} instead of ${expected.seq}`)
  return createLog(run, { value: patcher.value, end: expected, baseSeq, size })
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
