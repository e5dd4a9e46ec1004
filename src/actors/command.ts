import { createBoundedOutput, type OutputText } from './bounded-output.ts'
import { type CommandEnding, watchCommand } from './command-watch.ts'
import type { OnOutput } from './output-reader.ts'
import { endGroup } from './process-group.ts'

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

/** How a command ended, and what it printed. */
export interface CommandOutcome extends CommandEnding {
  readonly stdout: OutputText
  readonly stderr: OutputText
  /** The disk was full: what was printed last is missing. Default: false. */
  readonly outputLost?: boolean
}

/**
 * Runs a command in its own process group, without stdin, and resolves when it has ended.
 *
 * Memory is bounded whatever it prints. At the time limit and at the abort of `signal` the whole group is ended (see
 * `endGroup`). A process that the shell leaves behind and that holds the output open delays the result by 250 ms, and loses its
 * output. `onOutput` is told all that is read, as it comes. When our process exits while the command runs, the group gets SIGTERM.
 *
 * @throws Error when the command cannot be started; the reason of `signal` when it is aborted before that.
 */
export async function runCommand(command: Command, signal: AbortSignal, onOutput?: OnOutput): Promise<CommandOutcome> {
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
  for (const stream of ['stdout', 'stderr'] as const) {
    if (onOutput === undefined) break
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    subprocess[stream].on('data', (chunk: Uint8Array) => onOutput(stream, decoder.decode(chunk, { stream: true })))
  }
  const stop = watchForStop(command.timeoutMs, signal)
  try {
    const ending = await watchCommand({
      child,
      closed: subprocess,
      readBytes: () => stdout.totalBytes + stderr.totalBytes,
      stopped: stop.stopped,
      end: () => endSubprocess(subprocess.pid, () => subprocess.kill()),
    })
    if (subprocess.pid === undefined) throw toStartError((await subprocess).originalMessage)
    return { ...ending, stdout: stdout.toText(), stderr: stderr.toText() }
  } finally {
    stop.release()
  }
}

/** Why a command could not be started. */
export const toStartError = (reason: string | undefined) => new Error(`The command could not be started: ${reason}`)

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
