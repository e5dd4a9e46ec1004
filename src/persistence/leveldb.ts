import { resolve } from 'node:path'
import { isPerdureError, PerdureError } from '../errors.ts'
import { isDiskError, toDiskTrouble, toOpenError } from './level-failure.ts'
import { createLevelStore, type LevelDatabase } from './level-store.ts'
import type { Store } from './store.ts'
import {
  beginCreation,
  closeToOthers,
  createDirectory,
  type DirectoryKind,
  endCreation,
  inspectDirectory,
  toForeignError,
} from './store-directory.ts'
import { createFence } from './store-fence.ts'
import { enterFormat } from './store-format.ts'
import { claimDirectory, toLockedError } from './store-lock.ts'
import { readOwner, type StoreOwner, writeOwner } from './store-owner.ts'

/** How to open a store. */
export interface OpenLevelStoreOptions {
  /** Ends the opening with `ABORTED` when aborted before it is done; what was opened is closed again. Default: none. */
  readonly signal?: AbortSignal
}

// LevelDB's buffers belong to the reader alone; only their class is narrowed, since a Buffer's `slice` shares its memory.
const plainBytes = {
  name: 'perdure-plain-bytes',
  format: 'view' as const, // `as const`: the literal that level-transcoder asks for
  encode: (value: Uint8Array): Uint8Array => value,
  decode: (value: Uint8Array): Uint8Array => new Uint8Array(value.buffer, value.byteOffset, value.byteLength),
}

/**
 * Opens the store in a directory (LevelDB) and owns it until it is closed; creates both, readable by this user only, unless they exist.
 *
 * When it resolves, the store and the directory are on disk. A process that dies in the middle leaves a directory that can be opened.
 *
 * Errors: `STORE_LOCKED` (who holds it: `details.pid`), `STORE_PATH_INVALID` (a file, or a directory with other things in it),
 * `STORE_NOT_WRITABLE`, `STORE_FULL` (nothing is lost), `STORE_CORRUPT`, `STORE_FORMAT_NEWER`, `ABORTED`.
 */
export async function openLevelStore(directory: string, options: OpenLevelStoreOptions = {}): Promise<Store> {
  if (typeof directory !== 'string' || directory === '') {
    throw new TypeError(`Expected \`directory\` to be a non-empty string, got \`${String(directory)}\` (${typeof directory})`)
  }
  const location = resolve(directory)
  const check = (): void => assertNotAborted(options.signal, location)
  check()
  try {
    const realPath = await createDirectory(location)
    const giveBack = claimDirectory(realPath, location)
    try {
      const { database, owner } = await openStoreDatabase(realPath, location, check)
      return createLevelStore(database, {
        location,
        epoch: owner.epoch,
        fence: createFence(realPath, location, owner),
        compact: toCompaction(database),
        onClosed: giveBack,
      })
    } catch (error) {
      giveBack()
      throw error
    }
  } catch (error) {
    throw isPerdureError(error) || !isDiskError(error) ? error : toOpenError(error, location)
  }
}

async function openStoreDatabase(
  realPath: string,
  directory: string,
  check: () => void,
): Promise<{ readonly database: LevelDatabase; readonly owner: StoreOwner }> {
  const kind = await inspectDirectory(realPath)
  assertUsable(kind, directory)
  const isNew = kind === 'empty' || kind === 'unfinished'
  check()
  if (kind === 'empty') await beginCreation(realPath)
  const database = await openDatabase(realPath, directory, isNew)
  try {
    check()
    const lastOwner = await readOwner(realPath)
    const { epoch } = await enterFormat(database, { directory, isNew, lastOwner })
    if (isNew) await endCreation(realPath)
    const owner = await writeOwner(realPath, epoch)
    await closeToOthers(realPath)
    check()
    return { database, owner }
  } catch (error) {
    await database.close()
    throw error
  }
}

async function openDatabase(realPath: string, directory: string, createIfMissing: boolean): Promise<LevelDatabase> {
  const { Level } = await import('level')
  const database = new Level<string, Uint8Array>(realPath, { createIfMissing, keyEncoding: 'utf8', valueEncoding: plainBytes })
  try {
    await database.open()
    return database
  } catch (error) {
    throw toDiskTrouble(error) === 'locked' ? await toLockedError(error, realPath, directory) : error
  }
}

/** `level` is also for browsers, where nothing can be compacted; in Node.js it is classic-level. */
function toCompaction(database: LevelDatabase): (gte: string, lt: string) => Promise<void> {
  const level = database as LevelDatabase & { compactRange(start: string, end: string): Promise<void> }
  return (gte, lt) => level.compactRange(gte, lt)
}

function assertUsable(kind: DirectoryKind, directory: string): void {
  if (kind === 'foreign') throw toForeignError(directory, 'holds files that are not a store')
  if (kind !== 'damaged') return
  throw new PerdureError(
    'STORE_CORRUPT',
    `The store at ${directory} is damaged: LevelDB’s file CURRENT is missing. Nothing was changed. Restore it from a backup.`,
    { details: { directory } },
  )
}

function assertNotAborted(signal: AbortSignal | undefined, directory: string): void {
  if (signal?.aborted !== true) return
  throw new PerdureError('ABORTED', `Opening the store at ${directory} was aborted. Nothing is open.`, {
    cause: signal.reason,
    details: { directory },
  })
}
