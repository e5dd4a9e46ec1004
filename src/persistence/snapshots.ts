import { isPerdureError, PerdureError } from '../errors.ts'
import { decodeStorable, encodeStorable, packStorable, readChecksum, unpackStorable } from './codec.ts'
import { createDelta, type Delta } from './delta.ts'
import { baseKey, deltaKey, deltaRange } from './keys.ts'
import { createPatcher } from './patch.ts'
import { toStorable } from './storable.ts'
import type { Operation, Store } from './store.ts'

/**
 * A run's snapshot. Until it first outgrows 512 bytes it is kept in the run's head, as a whole: one record a commit. From then on it is one base and the deltas since. A new base is written when the deltas outweigh it, so writing costs at most
 * a constant factor of what changed and restoring reads at most twice the snapshot, or 8 KB of deltas if that is more (P6). Each record names the checksum of the one
 * before it: a hole is noticed (P9).
 */
interface Link {
  /** Number of the record in its chain; the base has the number of the last delta it took in. */
  readonly seq: number
  /** Checksum of the record before; 0 for a base. */
  readonly after: number
  readonly delta: Delta
}

/** Where the chain ends: kept in the run's head, so that a lost end is noticed too. */
export interface ChainEnd {
  readonly seq: number
  readonly checksum: number
  /** The whole snapshot, when it is small: then there is no chain. */
  readonly inline?: Uint8Array | undefined
}

/** As long as the deltas are smaller than this, the base is not rewritten: it would save nothing. */
const SMALL_BYTES = 8 * 1024

/** A snapshot up to this size is kept in the head. */
const INLINE_BYTES = 512

export interface SnapshotLog {
  /** The snapshot as last written or read; `undefined` before the first. */
  readonly value: unknown
  readonly end: ChainEnd
  /** What brings the stored snapshot to `next`; none when nothing changed. Errors: `VALUE_NOT_STORABLE`. */
  write(next: unknown): readonly Operation[]
}

function createLog(
  run: string,
  state: { value: unknown; end: ChainEnd; baseSeq: number; baseBytes: number; deltaBytes: number },
): SnapshotLog {
  let { value, end, baseSeq, baseBytes, deltaBytes } = state
  const isInline = (): boolean => baseBytes === 0

  /** Whether `next` was, or needed not be, kept in the head. */
  const writeInline = (next: unknown): boolean => {
    const inline = packStorable([toStorable(next)])
    if (inline.byteLength > INLINE_BYTES) return false
    if (end.inline === undefined || !isSame(end.inline, inline)) end = { seq: end.seq + 1, checksum: 0, inline }
    baseSeq = end.seq // there is no record up to here
    value = next
    return true
  }

  const append = (key: string, link: Link): Operation & { type: 'put' } => {
    const bytes = encodeStorable(key, link)
    end = { seq: link.seq, checksum: readChecksum(bytes) }
    return { type: 'put', key, value: bytes }
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
      const delta = createDelta(value, next)
      if (delta.patch === null) return []
      const seq = end.seq + 1
      const rebase = baseBytes === 0 || deltaBytes > Math.max(baseBytes, SMALL_BYTES)
      if (!rebase) {
        const operation = append(deltaKey(run, seq), { seq, after: end.checksum, delta })
        value = next
        deltaBytes += operation.value.byteLength
        return [operation]
      }
      const operations: Operation[] = []
      const operation = append(baseKey(run), { seq, after: 0, delta: createDelta(undefined, next) })
      for (let old = baseSeq + 1; old < seq; old++) operations.push({ type: 'del', key: deltaKey(run, old) })
      value = next
      baseSeq = seq
      baseBytes = operation.value.byteLength
      deltaBytes = 0
      return [operation, ...operations]
    },
  }
}

/** The log of a run that has no snapshot yet. */
export function createSnapshotLog(run: string): SnapshotLog {
  return createLog(run, { value: undefined, end: { seq: 0, checksum: 0 }, baseSeq: 0, baseBytes: 0, deltaBytes: 0 })
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
    return createLog(run, { value: patcher.value, end: expected, baseSeq: expected.seq, baseBytes: 0, deltaBytes: 0 })
  }
  const read = (key: string, bytes: Uint8Array, before: ChainEnd | undefined): ChainEnd => {
    try {
      const link = decodeStorable(key, bytes) as Link // checksummed: written by `append`
      if (before !== undefined && link.seq !== before.seq + 1) throw broken(`record ${before.seq + 1} of it is missing`)
      if (link.after !== (before?.checksum ?? 0)) throw broken(`record ${link.seq} of it does not follow the one before`)
      patcher.apply(link.delta)
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
  let deltaBytes = 0
  for await (const [key, bytes] of store.entries(deltaRange(run))) {
    end = read(key, bytes, end)
    deltaBytes += bytes.byteLength
  }
  if (end.seq !== expected.seq || end.checksum !== expected.checksum)
    throw broken(`it ends at record ${end.seq} instead of ${expected.seq}`)
  return createLog(run, { value: patcher.value, end: expected, baseSeq, baseBytes: base.byteLength, deltaBytes })
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
