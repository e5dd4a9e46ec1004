import { PerdureError, toMessage } from '../errors.ts'

/** What a failing file or database call amounts to, whoever reported it. */
export type DiskTrouble =
  | 'locked'
  | 'unlockable'
  | 'full'
  | 'denied'
  | 'not-a-directory'
  | 'corrupt'
  | 'exhausted'
  | 'failing'
  | 'unknown'

// LevelDB passes on the text of strerror and no errno, hence two columns: errno of node:fs, words of LevelDB.
const troubles: readonly (readonly [DiskTrouble, readonly string[], RegExp])[] = [
  ['unlockable', ['ENOLCK'], /IO error: lock .*(no locks available|not supported|not implemented)/i],
  ['locked', ['LEVEL_LOCKED'], /IO error: (lock|LockFile) /],
  ['full', ['ENOSPC', 'EDQUOT'], /no space left|not enough space|quota exceeded/i],
  ['denied', ['EACCES', 'EPERM', 'EROFS'], /permission denied|not permitted|read-only file system|access is denied/i],
  ['not-a-directory', ['ENOTDIR', 'EEXIST', 'ELOOP', 'ENAMETOOLONG', 'ERR_INVALID_ARG_VALUE'], /not a directory|name too long/i],
  ['corrupt', ['LEVEL_CORRUPTION'], /^Corruption:/],
  ['exhausted', ['EMFILE', 'ENFILE', 'ENOMEM'], /too many open files|cannot allocate memory/i],
  ['failing', ['EIO'], /input\/output error/i],
]

/** Whether node:fs or a Level database reported this. Anything else, such as a module that cannot be loaded, is not about a disk. */
export function isDiskError(error: unknown): boolean {
  const said = deepestOf(error)
  if (!(said instanceof Error)) return false
  return (
    isFileError(said) ||
    /^(LEVEL_|ERR_INVALID_ARG_VALUE$)/.test(codeOf(said)) ||
    /^(IO error|Corruption|Invalid argument|Not implemented): /.test(said.message)
  )
}

/** Classifies an error of node:fs or of a Level database, looking through its causes. */
export function toDiskTrouble(error: unknown): DiskTrouble {
  const said = deepestOf(error)
  const code = codeOf(said)
  const text = toMessage(said)
  return troubles.find(([, codes, words]) => codes.includes(code) || words.test(text))?.[0] ?? 'unknown'
}

/** The error for a directory or database that cannot be opened. The cause's own words are in the message. */
export function toOpenError(error: unknown, directory: string): PerdureError {
  const said = toMessage(deepestOf(error))
  const options = { cause: error, details: { directory } }
  switch (toDiskTrouble(error)) {
    case 'full':
      return new PerdureError(
        'STORE_FULL',
        `The disk of ${directory} is full, so its store cannot be opened (${said}). Nothing is lost: free space and open it again.`,
        options,
      )
    case 'denied':
      return new PerdureError(
        'STORE_NOT_WRITABLE',
        `The directory ${directory} cannot be written (${said}). Give this user write access to it, or choose another directory.`,
        options,
      )
    case 'unlockable':
      return new PerdureError(
        'STORE_NOT_WRITABLE',
        `The file system of ${directory} has no locks (${said}), so one owner cannot be guaranteed. Choose a local directory.`,
        options,
      )
    case 'not-a-directory':
      return new PerdureError(
        'STORE_PATH_INVALID',
        `A store cannot be at ${directory} (${said}). Choose the path of a directory, existing or not.`,
        options,
      )
    case 'exhausted':
      return new PerdureError(
        'STORE_NOT_WRITABLE',
        `The system has too few resources to open the store at ${directory} (${said}). Nothing is lost: raise the limit, open it again.`,
        options,
      )
    case 'failing':
      return new PerdureError(
        'STORE_NOT_WRITABLE',
        `The disk of ${directory} fails (${said}), so its store cannot be opened. What was acknowledged is kept: check the disk, open it again.`,
        options,
      )
    default:
      if (isFileError(error)) {
        return new PerdureError(
          'STORE_NOT_WRITABLE',
          `The directory ${directory} cannot be used (${said}). Check the path and the disk.`,
          options,
        )
      }
      return new PerdureError(
        'STORE_CORRUPT',
        `The store at ${directory} cannot be opened: LevelDB said "${said}". Nothing was changed. Restore the directory from a ` +
          'backup; or keep a copy of it and try classic-level’s `repair`, which can lose records.',
        options,
      )
  }
}

/** The error for one read that failed. Other keys may still be readable. */
export function toReadError(error: unknown, location: string): PerdureError {
  return new PerdureError(
    'STORE_CORRUPT',
    `The store at ${location} could not be read: "${toMessage(deepestOf(error))}". Check the disk, then restore from a backup.`,
    { cause: error, details: { directory: location } },
  )
}

/** The error for the write that failed. Whether its operations are on disk is known after reopening. */
export function toWriteError(error: unknown, location: string): PerdureError {
  const said = toMessage(deepestOf(error))
  const options = { cause: error, details: { directory: location } }
  const advice = 'and open the store again: what was acknowledged is kept, this write may or may not be there.'
  if (toDiskTrouble(error) === 'full') {
    return new PerdureError(
      'STORE_FULL',
      `The disk of the store at ${location} is full (${said}). Reads go on. Free space, close ${advice}`,
      options,
    )
  }
  return new PerdureError(
    'STORE_WRITE_FAILED',
    `A write to the store at ${location} failed (${said}). Reads go on. Check the disk, close ${advice}`,
    options,
  )
}

/** The error for every write after one that failed. */
export function toRefusedWriteError(first: PerdureError, location: string): PerdureError {
  return new PerdureError(
    'STORE_WRITE_FAILED',
    `The store at ${location} refuses writes since one failed with ${first.code}: LevelDB could lose what it acknowledges now. ` +
      'Close the store and open it again. Reads go on.',
    { cause: first, details: { directory: location, since: first.code, reopen: true } },
  )
}

function isFileError(error: unknown): boolean {
  const said = deepestOf(error)
  return said instanceof Error && 'syscall' in said
}

function deepestOf(error: unknown): unknown {
  let deepest = error
  while (deepest instanceof Error && deepest.cause !== undefined) deepest = deepest.cause
  return deepest
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
