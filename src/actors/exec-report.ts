import { boundText, type OutputText } from './bounded-output.ts'
import type { CommandOutcome } from './command.ts'
import type { LostCommand } from './command-follow.ts'

/** What the model reads; keys without a value are left out. */
export function toReport(outcome: CommandOutcome, timeoutMs: number) {
  const { exitCode, signal, stdout, stderr, endedBy, outputHeld, groupEnded } = outcome
  const notes = [
    endedBy === 'timeout' ? `The command did not end within ${timeoutMs} ms and was ended.` : undefined,
    endedBy === 'abort' ? 'The command was ended from outside: its run was aborted, or the machine was told to stop.' : undefined,
    groupEnded ? undefined : 'Some of its processes could not be ended: they may belong to another user.',
    endedBy === 'itself' && outputHeld
      ? 'A process that the command left in the background still runs. What it prints from now on is lost.'
      : undefined,
    outcome.outputLost ? 'The disk was full: the end of its output is missing.' : undefined,
  ].filter((note) => note !== undefined)
  const cutBytes = { stdout: stdout.cutBytes || undefined, stderr: stderr.cutBytes || undefined }
  return {
    exitCode: exitCode ?? null,
    signal,
    timedOut: endedBy === 'timeout',
    stdout: toVisibleText(stdout),
    stderr: toVisibleText(stderr),
    cutBytes: cutBytes.stdout || cutBytes.stderr ? cutBytes : undefined,
    note: notes.length > 0 ? notes.join(' ') : undefined,
  }
}

/** A picture or a program costs a model thousands of tokens and tells it nothing. */
function toVisibleText({ text, totalBytes }: OutputText): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what tells binary from text
  const strange = text.match(/[\0-\x06\x0e-\x1a\x1c-\x1f\ufffd]/g)?.length ?? 0
  return strange * 10 > text.length ? `[${totalBytes} bytes of binary output, not shown]` : text
}

/** Bytes of output that are shown of a command whose end nobody knows. */
const maxLostBytes = 8 * 1024

/** What is known of a command whose outcome nobody knows: why, and what it printed. */
export function toLostText({ reason, stdout, stderr }: LostCommand): string {
  const output = [toPart('stdout', stdout), toPart('stderr', stderr)].filter((part) => part !== '')
  return [`How the command ended is not known: ${reason}.`, ...output].join('\n')
}

function toPart(name: string, output: OutputText): string {
  const text = boundText(toVisibleText(output), maxLostBytes)
  return text === '' ? '' : `Its ${name} so far:\n${text}`
}
