import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from './command.ts'
import { type CommandFile, makeClaim, markName, toMark, writeCommandIdentity, writeResult } from './command-files.ts'
import { watchCommand } from './command-watch.ts'
import { createOutputFile, type OutputFile } from './output-file.ts'
import { endGroup } from './process-group.ts'
import { readIdentity } from './process-identity.ts'

/**
 * The program that watches over one command: it starts it, keeps its output, enforces its time limit and leaves how it ended in files, whether
 * or not the process that asked for it still lives. It reads an order from stdin; SIGTERM ends the command. It imports nothing but Node and a
 * few small files, so that it starts fast.
 */

/** What a supervisor is told to do. It is never on disk: the environment may hold secrets (P11). */
export interface SupervisorOrder {
  /** The folder of the attempt, which exists. */
  readonly folder: string
  readonly command: Command
}

const { promise: stopped, resolve: stop } = Promise.withResolvers<'timeout' | 'abort'>()

async function supervise({ folder, command }: SupervisorOrder): Promise<void> {
  const supervisor = readIdentity(process.pid)
  if (supervisor === undefined) throw new Error('the processes of this system cannot be identified')
  // The output comes first: a disk that is full is found out before anything is decided.
  const stdout = createOutputFile(join(folder, 'stdout' satisfies CommandFile), command.maxOutputBytes)
  const stderr = createOutputFile(join(folder, 'stderr' satisfies CommandFile), command.maxOutputBytes)
  // P3: whoever finds this claim knows that the command may have started; without it, it never has and never will.
  if (!makeClaim(folder, { state: 'started', supervisor })) return
  const child = await start(folder, command).catch((error: unknown) => {
    writeResult(folder, { state: 'failed', message: toMessage(error) })
  })
  if (child === undefined) return
  setTimeout(() => stop('timeout'), command.timeoutMs)
  const ending = await watchOver(child, stdout, stderr)
  stdout.close()
  stderr.close()
  writeResult(folder, { state: 'ended', ...ending, outputLost: stdout.failed || stderr.failed })
}

async function start(folder: string, { text, shell, cwd, env }: Command): Promise<ChildProcess> {
  const child = spawn(text, {
    shell,
    cwd,
    env: { ...env, [markName]: toMark(folder) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  // Its error says why, in the next turn of the event loop.
  if (child.pid === undefined) throw (await once(child, 'error'))[0]
  const identity = readIdentity(child.pid)
  if (identity !== undefined) writeCommandIdentity(folder, identity)
  return child
}

function watchOver(child: ChildProcess, stdout: OutputFile, stderr: OutputFile) {
  child.stdout?.on('data', stdout.write)
  child.stderr?.on('data', stderr.write)
  return watchCommand({
    child,
    closed: once(child, 'close'),
    readBytes: () => stdout.totalBytes + stderr.totalBytes,
    stopped,
    end: async () => child.pid === undefined || endGroup(child.pid),
  })
}

function readOrder(): SupervisorOrder | undefined {
  try {
    return JSON.parse(readFileSync(0, 'utf8')) as SupervisorOrder // written by startSupervisor of the same version
  } catch {
    // Who asked died before it had said all: nothing starts.
    return undefined
  }
}

const toMessage = (error: unknown) => (error instanceof Error ? error.message : String(error))

try {
  // Until it is read, a signal ends the supervisor, and nothing has started.
  const order = readOrder()
  process.on('SIGTERM', () => stop('abort'))
  // These are meant for the program that asked, or come from a terminal that is gone.
  process.on('SIGINT', () => {})
  process.on('SIGHUP', () => {})
  if (order !== undefined) await supervise(order)
  process.exit(0)
} catch (error) {
  // Read by who asked, while that one lives.
  process.stderr.on('error', () => {})
  process.stderr.write(`${toMessage(error)}\n`)
  process.exit(1)
}
