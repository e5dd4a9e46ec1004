import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, open } from 'node:fs/promises'
import { dirname, extname, resolve } from 'node:path'
import { isSea } from 'node:sea'
import { fileURLToPath } from 'node:url'
import { type Command, toStartError } from './command.ts'
import { makeClaim, toFolderName } from './command-files.ts'
import { type CommandEnd, followCommand, toRemoved } from './command-follow.ts'
import type { OnOutput } from './output-reader.ts'
import { readIdentity } from './process-identity.ts'
import type { SupervisorOrder } from './supervisor.ts'

export { recoverCommand, removeCommands, removeTree } from './command-recovery.ts'

// A bundler that puts everything into one file leaves the supervisor behind.
const program = fileURLToPath(new URL(`./supervisor${extname(import.meta.url)}`, import.meta.url))
let isPossible: boolean | undefined

/**
 * Whether commands can be supervised here: on Linux and macOS, when the supervisor's file is where the package has it and our own program is
 * Node, which can execute it.
 */
export function canSupervise(): boolean {
  isPossible ??=
    readIdentity(process.pid) !== undefined && existsSync(program) && process.versions.electron === undefined && !isSea()
  return isPossible
}

/**
 * Runs a command under a supervisor of its own, which outlives this process: `recoverCommand` finds it again. Its files are in a new folder
 * below `directory`; that it may have started is on disk before it starts (P3), how it ended is on disk when this resolves.
 *
 * `onOutput` is called with what it prints, at most ten times a second. An abort that is a suspension leaves it running; any other ends it
 * before this resolves.
 *
 * @throws Error when it could not be started. The reason of `signal` when it is suspended, or aborted before the command has started.
 */
export async function superviseCommand(
  command: Command,
  directory: string,
  attempt: number,
  signal: AbortSignal,
  onOutput?: OnOutput,
): Promise<CommandEnd> {
  signal.throwIfAborted()
  const supervisor = startSupervisor()
  try {
    // The folder gets to the disk while the supervisor boots.
    const folder = await makeFolder(directory, toFolderName(attempt))
    signal.throwIfAborted()
    supervisor.order({ folder, command })
    const end = await followCommand(folder, { signal, onOutput, supervisor })
    if (end !== 'unclaimed') return end
    // Should it only seem to be gone, it cannot start the command any more.
    const isVoid = makeClaim(folder, { state: 'void' })
    signal.throwIfAborted()
    if (!isVoid) return toRemoved()
    throw toStartError(`its supervisor ended: ${supervisor.said().trim() || 'it did not say why'}`)
  } finally {
    supervisor.release()
  }
}

/** Notes durably that an attempt runs without a supervisor, so that nobody takes it for one that never started. */
export async function noteDirectCommand(directory: string, attempt: number): Promise<void> {
  await makeFolder(directory, toFolderName(attempt, 'direct'))
}

/** Starts a supervisor, which waits for its order. */
function startSupervisor() {
  const child: ChildProcess = spawn(process.execPath, ['--no-warnings', program], {
    cwd: '/',
    // Its environment is empty: no flag for Node reaches it. The command's comes with the order.
    env: {},
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  })
  let words = ''
  const { promise: exited, resolve: onExit } = Promise.withResolvers<void>()
  child.once('exit', () => onExit())
  child.once('error', (error) => {
    words += error.message
    onExit()
  })
  // Without it, the order is not read to its end and nothing starts.
  child.stdin?.on('error', () => {})
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    words = (words + text).slice(0, 4_096)
  })
  return {
    exited,
    order: (order: SupervisorOrder) => child.stdin?.end(JSON.stringify(order)),
    /** Asks it to end its command. */
    stop: () => child.kill('SIGTERM'),
    said: () => words,
    /** Lets it go on by itself, without keeping this process alive. */
    release() {
      child.stdin?.end()
      child.stderr?.destroy()
      child.unref()
    },
  }
}

/** Makes a new folder, and those above it that are missing, so that all of it is on disk. */
async function makeFolder(directory: string, name: string): Promise<string> {
  const folder = resolve(directory, name)
  const first = await mkdir(folder, { recursive: true, mode: 0o700 })
  const top = dirname(first ?? folder)
  for (let path = dirname(folder); ; path = dirname(path)) {
    await syncFolder(path)
    if (path === top || path === dirname(path)) return folder
  }
}

async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder, and needs no sync of it.
  if (process.platform === 'win32') return
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
