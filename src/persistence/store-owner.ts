import { readFile, rename, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'

/** The name of the file which says who opened a store last. LevelDB's own lock decides; this is for people, and for the fence. */
export const ownerFileName = 'OWNER'

/** Who opened a store last. `startedAt` is in epoch milliseconds; `epoch` is that of the format record at that opening. */
export interface StoreOwner {
  readonly pid: number
  readonly startedAt: number
  readonly hostname: string
  readonly epoch: number
}

/**
 * Writes this process down as the owner, atomically. If the process dies in the middle, the file is the old one.
 *
 * @returns what it wrote.
 */
export async function writeOwner(directory: string, epoch: number): Promise<StoreOwner> {
  const owner: StoreOwner = { pid: process.pid, startedAt: Date.now(), hostname: hostname(), epoch }
  const temporary = join(directory, `${ownerFileName}.tmp`)
  await writeFile(temporary, `${JSON.stringify(owner)}\n`, { mode: 0o600 })
  await rename(temporary, join(directory, ownerFileName))
  return owner
}

/** The last owner, or `undefined` when the file is missing or unreadable: who held a store is never a reason not to open it. */
export async function readOwner(directory: string): Promise<StoreOwner | undefined> {
  try {
    return parseOwner(await readFile(join(directory, ownerFileName), 'utf8'))
  } catch {
    return undefined
  }
}

/** The owner that the text of the file names; `undefined` when it names none. */
export function parseOwner(text: string): StoreOwner | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isOwner(value) ? value : undefined
  } catch {
    return undefined
  }
}

/** Whether the owner can be the one who holds the lock now: a dead process of this machine cannot. */
export function isAlive(owner: StoreOwner): boolean {
  if (owner.hostname !== hostname()) return true
  try {
    process.kill(owner.pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function isOwner(value: unknown): value is StoreOwner {
  return (
    typeof value === 'object' &&
    value !== null &&
    'pid' in value &&
    Number.isSafeInteger(value.pid) &&
    Number(value.pid) > 0 &&
    'startedAt' in value &&
    Number.isFinite(value.startedAt) &&
    'hostname' in value &&
    typeof value.hostname === 'string' &&
    'epoch' in value &&
    Number.isSafeInteger(value.epoch)
  )
}
