/**
 * One owner for a store (P7). Between processes LevelDB's own lock decides. Within a process it must not even be asked: a second
 * opening closes its descriptor of the LOCK file, and that drops the POSIX lock of the first, so that another process could get in.
 * For the same reason nothing here ever opens the LOCK file. Worker threads do not share this table: open a store in one of them.
 */
import { hostname } from 'node:os'
import { PerdureError } from '../errors.ts'
import { isAlive, readOwner } from './store-owner.ts'

const tableKey = Symbol.for('perdure.openStores')

/**
 * Claims a directory within this process, also across copies of this package. Errors: `STORE_LOCKED`.
 *
 * @param realPath - without symbolic links, so that one directory has one name.
 * @returns what gives the claim back.
 */
export function claimDirectory(realPath: string, directory: string): () => void {
  const table = openDirectories()
  if (table.has(realPath)) throw heldByThisProcess(directory)
  table.add(realPath)
  return () => void table.delete(realPath)
}

/** The error for a store that LevelDB found locked; says by whom, if that is known. */
export async function toLockedError(error: unknown, realPath: string, directory: string): Promise<PerdureError> {
  const owner = await readOwner(realPath)
  if (owner === undefined || !isAlive(owner) || isSelf(owner.pid, owner.hostname)) {
    return lockedError('another process', directory, { directory }, error)
  }
  const details = { directory, pid: owner.pid, hostname: owner.hostname, startedAt: owner.startedAt }
  const host = owner.hostname === hostname() ? '' : ` on ${owner.hostname}`
  return lockedError(`process ${owner.pid}${host}, since ${new Date(owner.startedAt).toISOString()}`, directory, details, error)
}

function heldByThisProcess(directory: string): PerdureError {
  return new PerdureError(
    'STORE_LOCKED',
    `The store at ${directory} is already open in this process (${process.pid}). Use the one that is open, or close it first.`,
    { details: { directory, pid: process.pid } },
  )
}

function lockedError(
  holder: string,
  directory: string,
  details: Readonly<Record<string, unknown>>,
  cause: unknown,
): PerdureError {
  return new PerdureError(
    'STORE_LOCKED',
    `The store at ${directory} is held by ${holder}. A store has one owner: end that process, or use another directory.`,
    { cause, details },
  )
}

// Our own pid in a file that another process has not replaced yet: we do not hold the store, so it says nothing.
function isSelf(pid: number, host: string): boolean {
  return pid === process.pid && host === hostname()
}

function openDirectories(): Set<string> {
  // A well-known symbol of the global object has no type; only this function writes it.
  const scope = globalThis as { [tableKey]?: Set<string> }
  scope[tableKey] ??= new Set()
  return scope[tableKey]
}
