import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CommandEnding } from './command-watch.ts'
import { type ProcessIdentity, parseIdentity } from './process-identity.ts'

/**
 * The files of one attempt to run a command, in a folder of their own:
 *
 * - `claim`: who decided whether the attempt may start. Made once and never changed, by the supervisor before it starts the command, or by
 *   someone who found no claim and so made sure that it never starts.
 * - `command`: the identity of the command's process, which leads its group.
 * - `stdout`, `stderr`: what it has printed so far (see `createOutputFile`).
 * - `result`: how it ended; complete once it is there.
 */
export type CommandFile = 'claim' | 'command' | 'stdout' | 'stderr' | 'result'

/** Whether an attempt may start. */
export type Claim =
  | { readonly state: 'void' }
  /** Its supervisor was about to start it. */
  | { readonly state: 'started'; readonly supervisor: ProcessIdentity }

/** How an attempt ended, besides its output. */
export type CommandResult =
  | (CommandEnding & { readonly state: 'ended'; readonly outputLost: boolean })
  /** The command could not be started. */
  | { readonly state: 'failed'; readonly message: string }

const version = 1

/** The variable that every process of a command has, and that holds {@link toMark}: Linux tells by it which processes they are. */
export const markName = 'PERDURE_COMMAND'

/** A name for a new folder of an attempt, unlike any other. */
export const toFolderName = (attempt: number, kind: 'supervised' | 'direct' = 'supervised') =>
  `command-${attempt}-${kind === 'direct' ? 'direct' : randomBytes(8).toString('hex')}`

/** What a name made by {@link toFolderName} says; `undefined` for other names. */
export function parseFolderName(name: string) {
  const [, attempt, rest] = /^command-(\d+)-([0-9a-f]{16}|direct)$/.exec(name) ?? []
  return attempt === undefined ? undefined : { attempt: Number(attempt), kind: rest === 'direct' ? rest : 'supervised' }
}

/** What marks the processes of the command of a folder. */
export const toMark = (folder: string) => folder.slice(-16)

/**
 * Makes the claim of an attempt. Of all that try, one gets `true`; the folder being gone is a claim too. On disk then, and complete whenever
 * it can be seen.
 *
 * @throws Error of the file system when it cannot be made.
 */
export function makeClaim(folder: string, claim: Claim): boolean {
  const temporary = join(folder, `claim-${randomBytes(4).toString('hex')}`)
  try {
    writeSynced(temporary, claim)
    // Unlike a rename, a link does not replace what is there.
    linkSync(temporary, join(folder, 'claim' satisfies CommandFile))
    syncFolder(folder)
    return true
  } catch (error) {
    if (hasCode(error, 'EEXIST') || hasCode(error, 'ENOENT')) return false
    throw error
  } finally {
    rmSync(temporary, { force: true })
  }
}

/** The claim of an attempt; `unreadable` when it was damaged, `undefined` when there is none. */
export function readClaim(folder: string): Claim | 'unreadable' | undefined {
  const value = readJson(folder, 'claim')
  if (value === undefined || value === 'unreadable') return value
  if (value.state === 'void') return { state: 'void' }
  const supervisor = parseIdentity(value.supervisor)
  return value.state === 'started' && supervisor !== undefined ? { state: 'started', supervisor } : 'unreadable'
}

/** Keeps who the command is, so that it can be ended when its supervisor is gone. */
export function writeCommandIdentity(folder: string, identity: ProcessIdentity): void {
  writeFileSync(join(folder, 'command' satisfies CommandFile), JSON.stringify({ version, ...identity }), { mode: 0o600 })
}

/** The identity of the command; `undefined` when its supervisor died before it could keep it. */
export const readCommandIdentity = (folder: string): ProcessIdentity | undefined => parseIdentity(readJson(folder, 'command'))

/** Keeps how an attempt ended. On disk when it returns. */
export function writeResult(folder: string, result: CommandResult): void {
  const temporary = join(folder, 'result.new')
  writeSynced(temporary, result)
  renameSync(temporary, join(folder, 'result' satisfies CommandFile))
  syncFolder(folder)
}

/** How an attempt ended; `unreadable` when the file was damaged, `undefined` when it has not ended. */
export function readResult(folder: string): CommandResult | 'unreadable' | undefined {
  const value = readJson(folder, 'result')
  if (value === undefined || value === 'unreadable') return value
  if (value.state === 'failed' && typeof value.message === 'string') return { state: 'failed', message: value.message }
  const { exitCode, signal, endedBy, outputHeld, groupEnded, outputLost } = value
  if (value.state !== 'ended' || typeof outputHeld !== 'boolean' || typeof groupEnded !== 'boolean') return 'unreadable'
  if (endedBy !== 'itself' && endedBy !== 'timeout' && endedBy !== 'abort') return 'unreadable'
  return {
    state: 'ended',
    exitCode: typeof exitCode === 'number' ? exitCode : undefined,
    signal: typeof signal === 'string' ? signal : undefined,
    endedBy,
    outputHeld,
    groupEnded,
    outputLost: outputLost === true,
  }
}

/** Makes that what was created or renamed in a folder is on disk. */
function syncFolder(folder: string): void {
  const file = openSync(folder, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function writeSynced(path: string, value: object): void {
  const file = openSync(path, 'w', 0o600)
  try {
    writeFileSync(file, JSON.stringify({ version, ...value }))
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function readJson(folder: string, name: CommandFile): Readonly<Record<string, unknown>> | 'unreadable' | undefined {
  let text: string
  try {
    text = readFileSync(join(folder, name), 'utf8')
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && 'version' in value && value.version === version) return { ...value }
    return 'unreadable'
  } catch {
    return 'unreadable'
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}
