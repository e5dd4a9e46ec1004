import { PerdureError } from '../errors.ts'
import { type Command, type CommandOutcome, runCommand, toStartError } from './command.ts'
import type { Recovery } from './doubt.ts'
import { toLostText, toReport } from './exec-report.ts'
import type { OnOutput } from './output-reader.ts'
import { canSupervise, noteDirectCommand, recoverCommand, superviseCommand } from './supervised-command.ts'
import { isSuspension } from './suspension.ts'
import type { ToolContext } from './tool.ts'

/** What a call of `exec` settles with: the report that the model reads, as JSON. Supervised when the call has a folder for that. */
export async function runExec(command: Command, context: ToolContext): Promise<string> {
  const { signal, directory, attempt } = context
  if (directory === undefined) return toContent(await runCommand(command, signal), command.timeoutMs, signal)
  if (!canSupervise()) {
    await noteDirectCommand(directory, attempt)
    return toContent(await runCommand(command, signal, toProgress(context)), command.timeoutMs, signal)
  }
  const end = await superviseCommand(command, directory, attempt, signal, toProgress(context)).catch((error: unknown) => {
    throw signal.aborted ? toAborted(undefined, signal) : error
  })
  if (end.status === 'ended') return toContent(end.outcome, command.timeoutMs, signal)
  if (signal.aborted) throw toAborted(undefined, signal)
  throw end.status === 'failed' ? toStartError(end.message) : new Error(toLostText(end))
}

/** Finds out what became of a call of `exec` in doubt; waits for its command when that still runs. */
export async function recoverExec(timeoutMs: number, context: ToolContext): Promise<Recovery<string>> {
  const { directory, attempt, signal } = context
  if (directory === undefined) return { status: 'unknown' }
  const found = await recoverCommand(directory, attempt)
  if (found.status === 'notStarted') return { status: 'notStarted' }
  if (found.status === 'unsupervised')
    return {
      status: 'unknown',
      detail: 'The command was not supervised, so nothing is known of it.',
    }
  const end = await found.follow(signal, toProgress(context)).catch((error: unknown) => {
    throw signal.aborted ? toAborted(undefined, signal) : error
  })
  if (end.status === 'failed') return { status: 'settled', error: toStartError(end.message) }
  if (end.status === 'lost') return { status: 'unknown', detail: toLostText(end) }
  return { status: 'settled', value: toContent(end.outcome, timeoutMs, signal) }
}

function toProgress({ progress }: ToolContext): OnOutput {
  return (stream, text) => progress({ stream, text })
}

function toContent(outcome: CommandOutcome, timeoutMs: number, signal: AbortSignal): string {
  if (outcome.endedBy === 'abort' && signal.aborted) throw toAborted(outcome, signal)
  return JSON.stringify(toReport(outcome, timeoutMs))
}

function toAborted(outcome: CommandOutcome | undefined, signal: AbortSignal): PerdureError {
  const groupEnded = outcome?.groupEnded ?? true
  const message =
    outcome === undefined && isSuspension(signal)
      ? 'The command goes on without this process; its result is taken when its run is resumed'
      : groupEnded
        ? 'The command was ended because its run was aborted'
        : 'The run was aborted, but some processes of its command could not be ended: they may belong to another user'
  return new PerdureError('ABORTED', message, { cause: signal.reason, details: { tool: 'exec', groupEnded } })
}
