import { access, chmod, constants, mkdir, open, readdir, realpath, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { PerdureError } from '../errors.ts'
import { ownerFileName } from './store-owner.ts'

/**
 * What a directory is to us before LevelDB sees it. `unfinished`: a process died while it created a store here, nothing was ever
 * acknowledged. `damaged`: a database without its `CURRENT` file.
 */
export type DirectoryKind = 'empty' | 'unfinished' | 'database' | 'damaged' | 'foreign'

/**
 * This file is there from before LevelDB creates the database until the format record is on disk. It tells a store that was
 * never finished from one whose files vanished: both look empty to LevelDB.
 */
const creatingFileName = 'CREATING'

/** Where an owner of the store listens, or one that died did. */
export const socketFileName = 'perdure.sock'
/** After its name, while it is being made. */
export const begunSuffix = '.new'

// The root of a freshly made ext4 volume has the first.
const ignoredNames: readonly string[] = ['lost+found', socketFileName, `${socketFileName}${begunSuffix}`]

/**
 * Creates the directory (mode 0700, parents too) unless it exists, and checks that it can be written. What it creates outlives a
 * power cut.
 *
 * @returns its path without symbolic links.
 */
export async function createDirectory(directory: string): Promise<string> {
  await makeDirectory(directory)
  const realPath = await realpath(directory)
  await access(realPath, constants.R_OK | constants.W_OK | constants.X_OK)
  return realPath
}

/** Tells what is in a directory, changing nothing. */
export async function inspectDirectory(realPath: string): Promise<DirectoryKind> {
  const names = (await readdir(realPath)).filter((name) => !ignoredNames.includes(name))
  if (names.length === 0) return 'empty'
  if (names.includes(creatingFileName)) return 'unfinished'
  if (names.includes('CURRENT')) return 'database'
  return names.some((name) => name === ownerFileName || /^MANIFEST-\d+$/.test(name)) ? 'damaged' : 'foreign'
}

/** Marks an empty directory as one in which a store is being created. Nobody but its owner reads it from now on, if that is this user. */
export async function beginCreation(realPath: string): Promise<void> {
  await chmod(realPath, 0o700).catch(() => {})
  await writeFile(join(realPath, creatingFileName), '', { mode: 0o600 })
}

/** Takes the mark away, durably. Without a mark, nothing happens. */
export async function endCreation(realPath: string): Promise<void> {
  await rm(join(realPath, creatingFileName), { force: true })
  await syncDirectory(realPath)
}

/**
 * Closes the files of a store to others, for whoever moves them out of their folder: LevelDB makes them as the umask says. A folder that was opened to others on purpose is left
 * as it is, with its files; so are files that LevelDB makes later, until the next opening.
 */
export async function closeToOthers(realPath: string): Promise<void> {
  if (process.platform === 'win32' || ((await stat(realPath)).mode & 0o077) !== 0) return
  for (const entry of await readdir(realPath, { withFileTypes: true }))
    if (entry.isFile()) await chmod(join(realPath, entry.name), 0o600).catch(() => {}) // LevelDB may have removed it
}

/** The error for a directory that is not ours. */
export function toForeignError(directory: string, what: string): PerdureError {
  return new PerdureError(
    'STORE_PATH_INVALID',
    `The directory ${directory} ${what}, so no store was made of it. Choose an empty directory, or one that does not exist.`,
    { details: { directory } },
  )
}

// Not `mkdir` with `recursive`: on a read-only file system that says ENOENT, and it syncs nothing.
async function makeDirectory(path: string): Promise<void> {
  if (await isDirectory(path)) return
  const parent = dirname(path)
  if (parent !== path) await makeDirectory(parent)
  try {
    await mkdir(path, { mode: 0o700 })
  } catch (error) {
    if (await isDirectory(path)) return // made by someone else in between
    throw error
  }
  await syncDirectory(parent)
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return false
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return // Windows opens no directories; its metadata is journaled.
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
