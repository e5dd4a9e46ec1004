/**
 * Whether an opening of a store still is its owner (P7). A lock is not enough: a process that slept may wake up after somebody broke its lock.
 *
 * 1. The LOCK file is the one that was locked. To break a lock is to delete that file, and LevelDB makes a new one before it reads anything.
 *    So a write that ended while the old file stood there was seen by whoever opens the store next.
 * 2. The OWNER file names no other opening of the same or a later epoch. That tells of a lock which was lost without a trace in the file
 *    itself, as a network file system can lose it.
 *
 * A file that is missing or unreadable says nothing, so it stops nobody: as long as no LOCK file was made anew, nobody has opened the store.
 */
import { type BigIntStats, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { PerdureError } from '../errors.ts'
import { ownerFileName, parseOwner, type StoreOwner } from './store-owner.ts'

const lockFileName = 'LOCK'

/** Asked before and after each write: two calls of `stat`, some microseconds. */
export interface StoreFence {
  /** Why this opening may write no more: `STORE_FENCED`. Once there is a reason, there always is. `undefined`: it is the owner. */
  check(): PerdureError | undefined
}

/** @param owner - this opening, which holds the lock and is written down in the OWNER file. */
export function createFence(realPath: string, directory: string, owner: StoreOwner): StoreFence {
  const lockPath = join(realPath, lockFileName)
  const ownerPath = join(realPath, ownerFileName)
  const lock = statOf(lockPath)
  /** The OWNER file that was read last and found to be no reason to stop. */
  let judged: BigIntStats | undefined
  let isFenced = false

  const isLockReplaced = (): boolean => {
    const found = statOf(lockPath)
    // Held open by this process, so its number is not given to another file.
    return lock !== undefined && found !== undefined && (found.ino !== lock.ino || found.dev !== lock.dev)
  }
  const isSuperseded = (): boolean => {
    const found = statOf(ownerPath)
    if (found === undefined || isSameFile(found, judged)) return false
    const text = readText(ownerPath)
    if (text === undefined) return false // asked again next time
    const other = parseOwner(text)
    if (other !== undefined && other.epoch >= owner.epoch && !isSameOwner(other, owner)) return true
    judged = found
    return false
  }

  return {
    check() {
      // In this order: who replaces LOCK writes OWNER later.
      isFenced ||= isLockReplaced() || isSuperseded()
      return isFenced ? toFencedError(ownerPath, directory, owner) : undefined
    },
  }
}

/** Read at each refusal: who broke the lock may have written its name since the last. */
function toFencedError(ownerPath: string, directory: string, owner: StoreOwner): PerdureError {
  const holder = parseOwner(readText(ownerPath) ?? '')
  const isKnown = holder !== undefined && !isSameOwner(holder, owner)
  const name = isKnown
    ? `process ${holder.pid} on ${holder.hostname} (epoch ${holder.epoch}), since ${new Date(holder.startedAt).toISOString()}`
    : 'another process'
  return new PerdureError(
    'STORE_FENCED',
    `The store at ${directory} is now held by ${name}: the lock of this process (${owner.pid}, epoch ${owner.epoch}) was broken. ` +
      'It writes and reads no more here, and what was not acknowledged is not kept. Close it; runs go on where the store is held.',
    {
      details: {
        directory,
        epoch: owner.epoch,
        ...(isKnown && {
          holder: { pid: holder.pid, hostname: holder.hostname, epoch: holder.epoch, startedAt: holder.startedAt },
        }),
      },
    },
  )
}

function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false })
  } catch {
    return undefined // unreadable: see above
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function isSameFile(one: BigIntStats, other: BigIntStats | undefined): boolean {
  return other !== undefined && one.ino === other.ino && one.ctimeNs === other.ctimeNs && one.mtimeNs === other.mtimeNs
}

function isSameOwner(one: StoreOwner, other: StoreOwner): boolean {
  return (
    one.epoch === other.epoch && one.pid === other.pid && one.hostname === other.hostname && one.startedAt === other.startedAt
  )
}
