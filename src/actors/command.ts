import { once } from 'node:events'
import { createBoundedOutput, type OutputText } from './bounded-output.ts'
import { endGroup } from './process-group.ts'

/** How long a background process may go on writing to the output after the shell has exited. */
const drainMs = 250
/** More than a pipe or socket holds: once so much was read after the shell's exit, all that was written before it was read. */
const drainBytes = 1024 * 1024

const isWindows = process.platform === 'win32'

/** One shell command, ready to run. */
export interface Command {
  readonly text: string
  readonly cwd: string
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>
  /** The shell's path; `true` is the system's: `/bin/sh`, `cmd.exe`. */
  readonly shell: string | true
  readonly timeoutMs: number
  /** Bytes kept of each stream. */
  readonly maxOutputBytes: number
}

/** How a command ended. */
export interface CommandOutcome {
  /** `undefined` when a signal ended it. */
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly stdout: OutputText
  readonly stderr: OutputText
  readonly endedBy: 'itself' | 'timeout' | 'abort'
  /** The shell has exited, but a process that it left in the background still has its output open. */
  readonly outputHeld: boolean
  /** The process group is gone. Always `true` for a command that ended by itself: what it left in the background is let be. */
  readonly groupEnded: boolean
}

/**
 * Runs a command in its own process group, without stdin, and resolves when it has ended.
 *
 * Memory is bounded whatever it prints. At the time limit and at the abort of `signal` the whole group is ended (see
 * `endGroup`). A process that the shell leaves behind and that holds the output open delays the result by 250 ms, and loses its
 * output. When our process exits while the command runs, the group gets SIGTERM.
 *
 * @throws Error when the command cannot be started; the reason of `signal` when it is aborted before that.
 */
export async function runCommand(command: Command, signal: AbortSignal): Promise<CommandOutcome> {
  // Loaded when the first command runs: an agent without `exec` does not pay for it.
  const { execa } = await import('execa')
  signal.throwIfAborted()
  const subprocess = execa(command.text, {
    shell: command.shell,
    cwd: command.cwd,
    env: command.env,
    extendEnv: false, // P11
    stdin: 'ignore',
    encoding: 'buffer',
    buffer: false,
    reject: false,
    // Gives the command its own group, and ends that when we exit.
    killDescendants: true,
    forceKillAfterDelay: false,
  })
  const child = subprocess.nodeChildProcess
  const stdout = createBoundedOutput(command.maxOutputBytes)
  const stderr = createBoundedOutput(command.maxOutputBytes)
  subprocess.stdout.on('data', stdout.write)
  subprocess.stderr.on('data', stderr.write)
  const readBytes = () => stdout.totalBytes + stderr.totalBytes
  const closePipes = () => {
    subprocess.stdout.destroy()
    subprocess.stderr.destroy()
  }

  const closed = subprocess.then(() => 'closed' as const)
  async function ended(): Promise<boolean> {
    // A command that could not be started closes without an exit.
    await Promise.race([closed, once(child, 'exit').catch(() => closed)])
    if ((await within(closed, drainMs)) === 'closed') return false
    await drained(readBytes)
    closePipes()
    await closed
    return true
  }

  const stop = watchForStop(command.timeoutMs, signal)
  try {
    const end = ended()
    const endedBy = (await Promise.race([end.then(() => undefined), stop.stopped])) ?? 'itself'
    const groupEnded = endedBy === 'itself' || (await endSubprocess(subprocess.pid, () => subprocess.kill()))
    if (!groupEnded && child.exitCode === null && child.signalCode === null) {
      // It cannot be ended, so neither its exit nor the end of its output may be waited for.
      closePipes()
      child.unref()
      return { ...unknownExit, stdout: stdout.toText(), stderr: stderr.toText(), endedBy, outputHeld: true, groupEnded }
    }
    const outputHeld = await end
    const { exitCode, signal: endSignal, originalMessage } = await subprocess
    if (exitCode === undefined && endSignal === undefined) throw new Error(`The command could not be started: ${originalMessage}`)
    return { exitCode, signal: endSignal, stdout: stdout.toText(), stderr: stderr.toText(), endedBy, outputHeld, groupEnded }
  } finally {
    stop.release()
  }
}

const unknownExit = { exitCode: undefined, signal: undefined } as const

async function endSubprocess(pid: number | undefined, kill: () => boolean): Promise<boolean> {
  // On Windows execa ends the whole tree with taskkill.
  return pid === undefined || (isWindows ? kill() : endGroup(pid))
}

/** Resolves when the time is up or the signal is aborted, whatever comes first. */
function watchForStop(timeoutMs: number, signal: AbortSignal) {
  const { promise: stopped, resolve } = Promise.withResolvers<'timeout' | 'abort'>()
  const onAbort = () => resolve('abort')
  const timer = setTimeout(() => resolve('timeout'), timeoutMs)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  const release = () => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
  return { stopped, release }
}

async function within<Value>(promise: Promise<Value>, timeMs: number): Promise<Value | undefined> {
  const { promise: elapsed, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), timeMs)
  try {
    return await Promise.race([promise, elapsed])
  } finally {
    clearTimeout(timer)
  }
}

/**
 * Resolves when everything is read that was in the pipes when this was called: after a turn of the event loop that brought
 * nothing, or after more bytes than pipes can hold.
 */
async function drained(readBytes: () => number): Promise<void> {
  const start = readBytes()
  let before = -1
  while (before !== readBytes() && readBytes() - start < drainBytes) {
    before = readBytes()
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
}
