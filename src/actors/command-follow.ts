import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { OutputText } from './bounded-output.ts'
import type { CommandOutcome } from './command.ts'
import { type CommandFile, readClaim, readResult } from './command-files.ts'
import { endOrphans } from './command-orphans.ts'
import { readOutputFile } from './output-file.ts'
import { createOutputReader, type OnOutput } from './output-reader.ts'
import { isOfEarlierBoot, isRunning, type ProcessIdentity, signalProcess } from './process-identity.ts'
import { isSuspension } from './suspension.ts'

/** How often the files of a running command are looked at. */
const pollMs = 100
/** How often it is asked whether a supervisor that is not our child still lives, in polls. */
const pollsPerInspection = 5
/** How often it is tried again to read how a command ended. */
const readRetries = 50
/** How long a supervisor may take to end its command: it kills the group after 2 seconds. */
const endingMs = 5_000

/** What came of a supervised command. */
export type CommandEnd =
  | { readonly status: 'ended'; readonly outcome: CommandOutcome }
  /** It could not be started. */
  | { readonly status: 'failed'; readonly message: string }
  | LostCommand

/** Nobody can say how it ended; nothing of it runs any more, unless `reason` says so. */
export interface LostCommand {
  readonly status: 'lost'
  readonly reason: string
  /** What it had printed. */
  readonly stdout: OutputText
  readonly stderr: OutputText
}

/** Whose command it is, and who wants to know. */
export interface Follower {
  readonly signal: AbortSignal
  readonly onOutput?: OnOutput | undefined
  readonly supervisor: FollowedSupervisor
}

interface FollowedSupervisor {
  /** Resolves when it has exited; a supervisor of an earlier process is asked after instead. */
  readonly exited?: Promise<void>
  readonly identity?: ProcessIdentity
  /** Asks it to end its command. */
  readonly stop: () => void
}

/**
 * Waits for the end of a command. An abort that is not a suspension asks its supervisor to end it; one that does not is ended with it.
 * Resolves with `unclaimed` when the supervisor is gone and had not begun.
 *
 * @throws the reason of `signal` when it is suspended: the command goes on.
 */
export async function followCommand(
  folder: string,
  { signal, onOutput, supervisor }: Follower,
): Promise<CommandEnd | 'unclaimed'> {
  const output = onOutput === undefined ? undefined : createOutputReader(folder, onOutput)
  const news = watchForNews(supervisor.exited, signal)
  let deadline = Number.POSITIVE_INFINITY
  let failures = 0
  async function tryReadEnd(): Promise<CommandEnd | 'unclaimed' | undefined> {
    try {
      return await readEnd(folder)
    } catch (error) {
      // Too many open files, for one: it may pass.
      if (++failures > readRetries) throw error
      await new Promise((resolve) => setTimeout(resolve, pollMs))
      return undefined
    }
  }
  try {
    for (let polls = 1; ; polls++) {
      // The order matters: what is found after a supervisor is gone is all that there will be.
      const isGone = news.hasExited() || isDead(supervisor, polls)
      const isOver = isGone || existsSync(join(folder, 'result' satisfies CommandFile))
      await output?.read()
      const end = isOver ? await tryReadEnd() : undefined
      if (end !== undefined) return end
      if (isSuspension(signal)) throw signal.reason
      if (signal.aborted && deadline === Number.POSITIVE_INFINITY) {
        deadline = performance.now() + endingMs
        supervisor.stop()
      }
      if (performance.now() > deadline) return await takeOver(folder)
      await news.next()
    }
  } finally {
    news.release()
  }
}

function isDead({ identity }: FollowedSupervisor, polls: number): boolean {
  return identity !== undefined && polls % pollsPerInspection === 0 && !isRunning(identity)
}

/** What came of a command whose supervisor is gone or has written the result. */
async function readEnd(folder: string): Promise<CommandEnd | 'unclaimed'> {
  const result = readResult(folder)
  if (result === undefined || result === 'unreadable') {
    const claim = readClaim(folder)
    return claim === undefined || (claim !== 'unreadable' && claim.state === 'void')
      ? 'unclaimed'
      : toLost(
          folder,
          result === 'unreadable' ? 'its result cannot be read' : 'its supervisor was killed, or could not write its result',
          claim,
        )
  }
  if (result.state === 'failed') return { status: 'failed', message: result.message }
  const { state: _, ...ending } = result
  return { status: 'ended', outcome: { ...ending, ...(await readOutput(folder)) } }
}

async function readOutput(folder: string) {
  const read = (name: 'stdout' | 'stderr') => readOutputFile(join(folder, name satisfies CommandFile))
  return { stdout: await read('stdout'), stderr: await read('stderr') }
}

async function toLost(folder: string, reason: string, claim: ReturnType<typeof readClaim>): Promise<LostCommand> {
  if (typeof claim === 'object' && claim.state === 'started' && isOfEarlierBoot(claim.supervisor))
    return { status: 'lost', reason: 'the machine was restarted', ...(await readOutput(folder)) }
  const isEnded = await endOrphans(folder)
  const words = isEnded ? reason : `${reason}, and some of its processes could not be ended`
  return { status: 'lost', reason: words, ...(await readOutput(folder)) }
}

/** What is left when somebody has removed the files of a command. */
export function toRemoved(): LostCommand {
  const none = { text: '', totalBytes: 0, cutBytes: 0 }
  return { status: 'lost', reason: 'its files were removed', stdout: none, stderr: none }
}

/** Ends a command in place of its supervisor, which does not answer. */
async function takeOver(folder: string): Promise<CommandEnd | 'unclaimed'> {
  const claim = readClaim(folder)
  if (claim === undefined) return 'unclaimed'
  if (claim !== 'unreadable' && claim.state === 'started') signalProcess(claim.supervisor, 'SIGKILL')
  return toLost(folder, 'its supervisor did not answer', claim)
}

/** Wakes when the supervisor exits, when `signal` aborts, and now and then. */
function watchForNews(exited: Promise<void> | undefined, signal: AbortSignal) {
  let hasExited = false
  let wake = () => {}
  let isAbortSeen = signal.aborted
  const onExit = () => {
    hasExited = true
    wake()
  }
  const onAbort = () => wake()
  exited?.then(onExit)
  signal.addEventListener('abort', onAbort)
  return {
    hasExited: () => hasExited,
    async next() {
      // What happened since the last look is news already.
      if (hasExited || signal.aborted !== isAbortSeen) {
        isAbortSeen = signal.aborted
        return
      }
      const { promise, resolve } = Promise.withResolvers<void>()
      wake = resolve
      const timer = setTimeout(resolve, pollMs)
      await promise
      clearTimeout(timer)
    },
    release: () => signal.removeEventListener('abort', onAbort),
  }
}
