import { PerdureError } from '../errors.ts'
import type { LevelDatabase } from './level-store.ts'
import { toForeignError } from './store-directory.ts'
import type { StoreOwner } from './store-owner.ts'

/** The format of stores that this version writes, and the newest that it reads. */
const storeFormat = 1

/** The key of the format record. It begins with `!`, so it sorts below every user's key and no range contains it. */
const formatKey = '!perdure'

/** What a store says about itself. `createdAt` is in epoch milliseconds; `epoch` grows by one at each opening. */
export interface FormatRecord {
  readonly format: number
  readonly createdAt: number
  readonly epoch: number
}

/** What is known about a store before its format record is read. */
export interface FormatContext {
  readonly directory: string
  /** Nothing was ever acknowledged here: a database without a format record gets one. */
  readonly isNew: boolean
  readonly lastOwner: StoreOwner | undefined
}

/**
 * Checks that a database is a store of a known format and begins its next epoch; a new database becomes a store. The record is
 * synced when the promise resolves. Errors: `STORE_FORMAT_NEWER`, `STORE_CORRUPT`, `STORE_PATH_INVALID`; with these nothing was
 * written.
 *
 * The owner file's epoch is written after the record's, so a record that is behind it means that LevelDB lost its newest writes
 * (a deleted or damaged log is no error to LevelDB).
 */
export async function enterFormat(database: LevelDatabase, context: FormatContext): Promise<FormatRecord> {
  const found = await readFormat(database, context)
  const { directory, lastOwner } = context
  if (found !== undefined && lastOwner !== undefined && lastOwner.epoch > found.epoch) {
    throw corrupt(
      directory,
      `its newest records are gone: it was opened ${lastOwner.epoch} times, the database remembers ${found.epoch}. Restore it ` +
        'from a backup, or delete its file OWNER to go on with what is left',
    )
  }
  const next: FormatRecord = {
    format: storeFormat,
    createdAt: found?.createdAt ?? Date.now(),
    epoch: (found?.epoch ?? 0) + 1,
  }
  const options: { sync: boolean } = { sync: true } // An option of classic-level, unknown to the abstract type.
  await database
    .batch()
    .put(formatKey, new TextEncoder().encode(JSON.stringify(next)))
    .write(options)
  return next
}

async function readFormat(database: LevelDatabase, context: FormatContext): Promise<FormatRecord | undefined> {
  const { directory } = context
  const bytes = await database.get(formatKey)
  if (bytes === undefined) {
    const isEmpty = (await database.keys({ limit: 1 }).all()).length === 0
    if (isEmpty && context.isNew) return undefined
    if (isEmpty) throw corrupt(directory, 'its records are gone. Files of the database were deleted: restore it from a backup')
    if (context.lastOwner === undefined) throw toForeignError(directory, 'holds a LevelDB database that Perdure did not create')
    throw corrupt(directory, 'its format record is gone. Restore it from a backup')
  }
  const value = parseJson(bytes)
  if (!isFormatRecord(value)) throw corrupt(directory, 'its format record is unreadable. Restore it from a backup')
  if (value.format > storeFormat) {
    throw new PerdureError(
      'STORE_FORMAT_NEWER',
      `The store at ${directory} has format ${value.format}; this version of Perdure reads up to ${storeFormat}. Nothing was ` +
        'changed: use the version that wrote it, or a newer one.',
      { details: { directory, format: value.format, newestKnown: storeFormat } },
    )
  }
  return value
}

function corrupt(directory: string, what: string): PerdureError {
  return new PerdureError('STORE_CORRUPT', `The store at ${directory} is damaged: ${what}. Nothing was changed.`, {
    details: { directory },
  })
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch {
    return undefined
  }
}

// A newer format may change everything but `format`.
function isFormatRecord(value: unknown): value is FormatRecord {
  if (typeof value !== 'object' || value === null || !('format' in value)) return false
  if (!Number.isSafeInteger(value.format) || Number(value.format) < 1) return false
  if (Number(value.format) > storeFormat) return true
  return 'createdAt' in value && Number.isFinite(value.createdAt) && 'epoch' in value && Number.isSafeInteger(value.epoch)
}
