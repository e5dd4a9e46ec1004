import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

/** How long a background process may go on writing to the output after the shell has exited. */
const drainMs = 250
/** More than a pipe or socket holds: once so much was read after the shell's exit, all that was written before it was read. */
const drainBytes = 1024 * 1024

/** How a command ended, without its output. */
export interface CommandEnding {
  /** `undefined` when a signal ended it. */
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly endedBy: 'itself' | 'timeout' | 'abort'
  /** The shell has exited, but a process that it left in the background still has its output open. */
  readonly outputHeld: boolean
  /** The process group is gone. Always `true` for a command that ended by itself: what it left in the background is let be. */
  readonly groupEnded: boolean
}

/** A command that runs, and what is known about its end. */
export interface RunningCommand {
  readonly child: ChildProcess
  /** Resolves when it has exited and its output is closed, or when it could not be started. */
  readonly closed: Promise<unknown>
  /** Bytes of its output that were read so far. */
  readonly readBytes: () => number
  /** Resolves when it has to end. */
  readonly stopped: Promise<'timeout' | 'abort'>
  /** Ends its processes; resolves with whether they are gone. */
  readonly end: () => Promise<boolean>
}

/**
 * Resolves when a command has ended by itself or was ended. A process that it leaves in the background and that holds the output open delays
 * this by 250 ms; then the output is closed.
 */
export async function watchCommand({ child, closed, readBytes, stopped, end }: RunningCommand): Promise<CommandEnding> {
  const closePipes = () => {
    child.stdout?.destroy()
    child.stderr?.destroy()
  }
  async function ended(): Promise<boolean> {
    // A command that could not be started closes without an exit.
    await Promise.race([closed, once(child, 'exit').catch(() => closed)])
    if (
      (await within(
        closed.then(() => true),
        drainMs,
      )) === true
    )
      return false
    await drained(readBytes)
    closePipes()
    await closed
    return true
  }

  const ending = ended()
  const endedBy = (await Promise.race([ending.then(() => undefined), stopped])) ?? 'itself'
  const groupEnded = endedBy === 'itself' || (await end())
  if (!groupEnded && child.exitCode === null && child.signalCode === null) {
    // It cannot be ended, so neither its exit nor the end of its output may be waited for.
    closePipes()
    child.unref()
    return { exitCode: undefined, signal: undefined, endedBy, outputHeld: true, groupEnded }
  }
  const outputHeld = await ending
  return { exitCode: child.exitCode ?? undefined, signal: child.signalCode ?? undefined, endedBy, outputHeld, groupEnded }
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
