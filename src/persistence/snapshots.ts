import { encodeStorable, packStorable, readChecksum, unpackStorable } from './codec.ts'
import { createDelta, type Delta } from './delta.ts'
import { baseKey, deltaKey } from './keys.ts'
import { createPatcher } from './patch.ts'
import { loadPins, type Pin, type Pins } from './pins.ts'
import type { RecordedValues } from './recorded-values.ts'
import type { RedactText } from './redaction.ts'
import type { ChainEnd } from './run-record.ts'
import { type ChainSize, type Link, NO_CHAIN, readChain, type Taken, toBroken, toSkeleton } from './snapshot-chain.ts'
import { toStorable } from './storable.ts'
import type { Operation, Store } from './store.ts'

/**
 * A run's snapshot. Until it first outgrows 512 bytes it is kept in the run's head, as a whole: one record a commit. From then on it is a chain:
 * one base and the deltas since. A new base is written when the chain is more than twice the snapshot: what only grows is hardly ever written
 * again, what is overwritten is written again when half of the chain is out of date. So writing costs at most a constant factor of what
 * changed, and restoring reads at most 2.5 times the snapshot, as large as it was when it was last measured, or 8 KB if that is more (P6).
 * A delta names a step that settles in the same batch instead of repeating its value; a base names none. Each record names the checksum of the one
 * before it and those of the steps' records: a hole is noticed (P9).
 *
 * A fork's base may be upon a list of its origin's snapshot: what is in that list is not written again, until the fork needs a new base. Its chain is as long as both
 * together. What forks need of a chain is pinned (`pins.ts`).
 */
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
  /**
   * What brings the stored snapshot to `next`; none when nothing changed. Errors: `VALUE_NOT_STORABLE`, `REDACTION_FAILED`.
   */
  write(next: unknown, how?: HowToWrite): readonly Operation[]
}

interface HowToWrite {
  /** What is written in the same batch, and stays as it is. */
  readonly recorded?: RecordedValues
  /** A step that was recorded before does not stay as it is, so that from now on none of them is named. */
  readonly anew?: boolean
  readonly redact?: RedactText | undefined
}

const isTooLong = ({ bytes, snapshotBytes }: ChainSize): boolean => bytes > Math.max(2 * snapshotBytes, SMALL_BYTES)

interface LogState {
  readonly value: unknown
  readonly end: ChainEnd
  /** The lowest record among the deltas that may be of this chain. */
  readonly first: number
  readonly size: ChainSize
}

function createLog(run: string, pins: Pins | undefined, state: LogState, taken?: Taken): SnapshotLog {
  let { value, end, first, size } = state
  const isInline = (): boolean => size.bytes === 0

  /** Whether `next` was, or needed not be, kept in the head. */
  const writeInline = (next: unknown, redact: RedactText | undefined): boolean => {
    const inline = packStorable([toStorable(next, [], undefined, redact)])
    if (inline.byteLength > INLINE_BYTES) return false
    if (end.inline === undefined || !isSame(end.inline, inline)) end = { seq: end.seq + 1, checksum: 0, inline }
    first = end.seq + 1 // there is no record up to here
    value = next
    return true
  }

  const put = (key: string, bytes: Uint8Array, seq: number, base: number | undefined): Operation => {
    end = { seq, checksum: readChecksum(bytes), ...(base === undefined ? {} : { base }) }
    return { type: 'put', key, value: bytes }
  }

  /** A base; among the deltas, if others need the records before it. */
  const toBase = (seq: number, next: unknown, redact: RedactText | undefined): readonly [key: string, bytes: Uint8Array] => {
    const key = pins?.isPinned(run) === true ? deltaKey(run, seq) : baseKey(run)
    const link: Link = { seq, after: 0, delta: createDelta(undefined, next, undefined, redact) }
    return [key, encodeStorable(key, link)]
  }

  const writeBase = (seq: number, [key, bytes]: readonly [key: string, bytes: Uint8Array]): readonly Operation[] => {
    const isApart = key !== baseKey(run)
    const operations = [put(key, bytes, seq, isApart ? seq : undefined)]
    const kept = pins?.isHeld(run) === true ? seq : (pins?.last(run) ?? 0)
    for (let old = Math.max(first, kept + 1); old < seq; old++) operations.push({ type: 'del', key: deltaKey(run, old) })
    first = isApart ? seq : seq + 1
    size = { bytes: bytes.byteLength, snapshotBytes: bytes.byteLength, measuredAt: bytes.byteLength }
    return [...operations, ...(pins?.toReleases(operations) ?? [])]
  }

  const writeTaken = (seq: number, delta: Delta, from: Taken): readonly Operation[] => {
    const key = deltaKey(run, seq)
    const link: Link = { seq, after: 0, delta, taken: from }
    const bytes = encodeStorable(key, link, 2)
    size = { ...NO_CHAIN, bytes: bytes.byteLength }
    return [put(key, bytes, seq, seq)]
  }

  const writeNext = (next: unknown, { recorded, anew = false, redact }: HowToWrite): readonly Operation[] => {
    const seq = toNextSeq(end, run, pins)
    if (isInline() && taken !== undefined) return writeTaken(seq, createDelta(value, next, undefined, redact), taken)
    if (anew) return writeBase(seq, toBase(seq, next, redact))
    const delta = createDelta(value, next, recorded, redact)
    if (delta.patch === null) return []
    if (isInline()) return writeBase(seq, toBase(seq, next, redact))
    const key = deltaKey(run, seq)
    const format = delta.steps === undefined ? 1 : 2
    let link: Link = { seq, after: end.checksum, delta }
    let bytes = encodeStorable(key, link, format)
    const grown = { ...size, bytes: size.bytes + bytes.byteLength + toNamedBytes(delta, recorded) }
    if (isTooLong(grown) && grown.bytes >= MEASURE_GROWTH * size.measuredAt) {
      const base = toBase(seq, next, redact)
      const measured = { bytes: grown.bytes, snapshotBytes: base[1].byteLength, measuredAt: grown.bytes }
      if (isTooLong(measured)) return writeBase(seq, base)
      size = measured
      link = { ...link, size: base[1].byteLength }
      bytes = encodeStorable(key, link, format)
    } else size = grown
    return [put(key, bytes, seq, end.base)]
  }

  return {
    get value() {
      return value
    },
    get end() {
      return end
    },
    write(next, how = {}) {
      if (isInline() && taken === undefined && writeInline(next, how.redact)) return []
      const operations = writeNext(next, how)
      value = next
      return operations
    },
  }
}

/** What the records of the steps that `delta` names take: they are read with it. */
function toNamedBytes({ steps = [] }: Delta, recorded: RecordedValues | undefined): number {
  const named = new Set(steps.map(([, step]) => step))
  const bytes = new Map<string, number>()
  for (const place of recorded?.values() ?? []) if (named.has(place.step)) bytes.set(place.step, place.bytes)
  return [...bytes.values()].reduce((sum, one) => sum + one, 0)
}

const NOTHING: ChainEnd = { seq: 0, checksum: 0 }

/** Above the records that others need of an earlier run of that id. */
const toNextSeq = ({ seq }: ChainEnd, run: string, pins: Pins | undefined): number => Math.max(seq, pins?.last(run) ?? 0) + 1

/** The log of a run that has no snapshot yet. `pins`: those of its store; without, nobody needs records of it. */
export function createSnapshotLog(run: string, pins?: Pins): SnapshotLog {
  return createLog(run, pins, { value: undefined, end: NOTHING, first: 1, size: NO_CHAIN })
}

/**
 * The log of a run whose snapshot takes a list of another's. What is written first has `list` in its place: items that stand for those that are taken.
 * `pin` keeps what is taken; it has to be on disk with that.
 */
export function createForkedLog(
  run: string,
  pins: Pins,
  taken: Taken,
  list: readonly unknown[],
): { readonly log: SnapshotLog; readonly pin: Pin } {
  const state: LogState = { value: toSkeleton(taken.path, list), end: NOTHING, first: 1, size: NO_CHAIN }
  const { base, seq } = taken.end
  return {
    log: createLog(run, pins, state, taken),
    pin: { run: taken.run, fork: run, at: toNextSeq(NOTHING, run, pins), base, seq },
  }
}

/** Reads a run's snapshot and checks that its chain is whole up to `expected`. Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export async function loadSnapshotLog(store: Store, run: string, expected: ChainEnd): Promise<SnapshotLog> {
  const pins = await loadPins(store)
  if (expected.seq === 0) return createSnapshotLog(run, pins)
  const { inline } = expected
  if (inline === undefined) {
    const { value, size, base } = await readChain(store, run, expected)
    return createLog(run, pins, { value, end: expected, first: expected.base ?? base + 1, size })
  }
  return createLog(run, pins, { value: readInline(run, inline), end: expected, first: expected.seq + 1, size: NO_CHAIN })
}

/** The snapshot that is in a head. Errors: `RUN_CORRUPT`. */
export function readInline(run: string, inline: Uint8Array): unknown {
  const patcher = createPatcher(undefined)
  try {
    const [storable] = unpackStorable(inline) as [unknown] // written by `writeInline`
    patcher.apply({ patch: ['set', storable], references: [] })
  } catch (error) {
    throw toBroken(run, 'it cannot be read from its head', error)
  }
  return patcher.value
}

const isSame = (a: Uint8Array, b: Uint8Array): boolean => a.byteLength === b.byteLength && Buffer.compare(a, b) === 0
