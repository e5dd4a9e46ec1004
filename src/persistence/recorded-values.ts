import { readChecksum } from './codec.ts'
import type { StepRecord } from './run-record.ts'
import { isPlainObject } from './storable.ts'

/** Where a value stands in the journal: `path` leads to it from the value of a step that has settled. */
export interface RecordedValue {
  readonly step: string
  readonly path: readonly string[]
  /** Of the step's record: names its content. */
  readonly checksum: number
  /** Of the step's record. */
  readonly bytes: number
}

/** Values in memory that stand in records of the same batch: the delta of that batch names the step instead of repeating them. */
export type RecordedValues = ReadonlyMap<unknown, RecordedValue>

/** A record that is shorter is repeated: to name it takes as much. */
const MIN_BYTES = 384

/** How deep a value that is named may be nested: a base that is written later can hold it wherever it stands. */
const MAX_LEVELS = 16

/**
 * Whether a snapshot may name the step. What the calls of an agent came to is made by us, and nobody changes it later. What a user's step returned may be
 * changed by who gets it, and then the snapshot is not what the record holds.
 */
export const isNameable = ({ kind, status }: StepRecord): boolean => status === 'ok' && (kind === 'model' || kind === 'tool')

const isShallow = (value: unknown, levels: number): boolean =>
  typeof value !== 'object' || value === null || (levels > 0 && Object.values(value).every((part) => isShallow(part, levels - 1)))

/** Adds the value of a step whose record is `bytes`, and the objects right in it, to `values`. */
export function addRecorded(values: Map<unknown, RecordedValue>, step: string, record: StepRecord, bytes: Uint8Array): void {
  const { value } = record
  if (!isNameable(record) || bytes.byteLength < MIN_BYTES || !isPlainObject(value) || !isShallow(value, MAX_LEVELS)) return
  const place = { step, checksum: readChecksum(bytes), bytes: bytes.byteLength }
  values.set(value, { ...place, path: [] })
  for (const key of Object.keys(value)) if (isPlainObject(value[key])) values.set(value[key], { ...place, path: [key] })
}
