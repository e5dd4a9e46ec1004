import { randomBytes } from 'node:crypto'
import { readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { makeClaim, parseFolderName, readClaim, readResult } from './command-files.ts'
import { type CommandEnd, followCommand, toRemoved } from './command-follow.ts'
import { endOrphans } from './command-orphans.ts'
import type { OnOutput } from './output-reader.ts'
import { isRunning, type ProcessIdentity, signalProcess } from './process-identity.ts'

/** What is known about an attempt to run a command that an earlier process has made. */
export type RecoveredCommand =
  /** It never started, and from now on never will. */
  | { readonly status: 'notStarted' }
  /** It ran, if at all, without a supervisor: nobody can tell. */
  | { readonly status: 'unsupervised' }
  | FoundCommand

/** A command that has started. */
interface FoundCommand {
  /** Whether it still runs. */
  readonly status: 'running' | 'over'
  /** Where its files are. */
  readonly folder: string
  /**
   * Waits for its end as `superviseCommand` does, with its output from the beginning. One that is over has its end at once, which may be that
   * nobody knows how.
   */
  readonly follow: (signal: AbortSignal, onOutput?: OnOutput) => Promise<CommandEnd>
}

/**
 * Finds out what became of an attempt of which an earlier process had written the intent. A command that runs without its supervisor is ended,
 * for nobody would learn how it ends.
 */
export async function recoverCommand(directory: string, attempt: number): Promise<RecoveredCommand> {
  const names = (await listNames(directory)).filter((name) => parseFolderName(name)?.attempt === attempt)
  if (names.some((name) => parseFolderName(name)?.kind === 'direct')) return { status: 'unsupervised' }
  for (const name of names) {
    const folder = join(directory, name)
    // A supervisor that still boots finds this claim, or no folder, and gives up.
    if (makeClaim(folder, { state: 'void' })) {
      await removeTree(folder)
      continue
    }
    const claim = readClaim(folder)
    if (claim === undefined || (claim !== 'unreadable' && claim.state === 'void')) continue
    const identity = claim === 'unreadable' ? undefined : claim.supervisor
    const status = readResult(folder) === undefined && identity !== undefined && isRunning(identity) ? 'running' : 'over'
    return { status, folder, follow: (signal, onOutput) => follow(folder, identity, signal, onOutput) }
  }
  return { status: 'notStarted' }
}

async function follow(
  folder: string,
  identity: ProcessIdentity | undefined,
  signal: AbortSignal,
  onOutput?: OnOutput,
): Promise<CommandEnd> {
  const isLeft = identity !== undefined && isRunning(identity)
  const supervisor = isLeft
    ? { identity, stop: () => signalProcess(identity, 'SIGTERM') }
    : { exited: Promise.resolve(), stop: () => {} }
  const end = await followCommand(folder, { signal, onOutput, supervisor })
  return end === 'unclaimed' ? toRemoved() : end
}

/**
 * Ends every command that still runs and whose files are anywhere below `directory`, and removes `directory`. What a command that ended has
 * left in the background goes on. Nothing happens when there is no such directory.
 *
 * @throws Error of the file system when something cannot be removed.
 */
export async function removeCommands(directory: string): Promise<void> {
  await Promise.all((await findFolders(directory)).map(endCommand))
  await removeTree(directory)
}

/**
 * Removes a directory with the folders of commands in it, at once as far as a supervisor that still boots can see: it finds its claim, or no folder, never a folder
 * without a claim. Nothing happens when there is no such directory.
 */
export async function removeTree(directory: string): Promise<void> {
  const gone = join(dirname(directory), `gone-${randomBytes(8).toString('hex')}`)
  try {
    await rename(directory, gone)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    throw error
  }
  await rm(gone, { recursive: true, force: true, maxRetries: 5 })
}

async function endCommand(folder: string): Promise<void> {
  if (makeClaim(folder, { state: 'void' })) return
  const claim = readClaim(folder)
  if (claim === undefined || readResult(folder) !== undefined) return
  if (claim === 'unreadable') return void (await endOrphans(folder))
  if (claim.state === 'started') await follow(folder, claim.supervisor, AbortSignal.abort())
}

/** The folders of attempts below a directory; links are not followed. */
async function findFolders(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  const found = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => {
      const path = join(directory, name)
      return parseFolderName(name)?.kind === 'supervised' ? [path] : findFolders(path)
    })
  return (await Promise.all(found)).flat()
}

async function listNames(directory: string): Promise<readonly string[]> {
  try {
    return await readdir(directory)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
