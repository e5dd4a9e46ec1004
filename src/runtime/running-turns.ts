import { PerdureError } from '../errors.ts'
import type { AgentEvent } from '../machines/agent.ts'

/** A turn of a conversation that is under way in this process. */
interface RunningTurn {
  /** Hands the machine an event. On disk, with what it led to, when the promise resolves. */
  send(event: AgentEvent): Promise<void>
  /** Ends the turn as aborted, and resolves when that is on disk. */
  abort(): Promise<void>
}

/** The turns that are under way, by the run of their conversation. */
export type RunningTurns = Map<string, RunningTurn>

/**
 * Hands a message of the user to the turn that is under way: `steer` joins before the next model request, `interrupt` ends the calls that are
 * under way and goes on with it. On disk when the promise resolves.
 *
 * Errors: `TURN_NOT_RUNNING`, `RUN_CONFLICT` for another event, those of the store.
 */
export async function sendToTurn(
  turns: RunningTurns,
  runId: string,
  event: { readonly type: string; readonly text?: unknown },
): Promise<void> {
  if (event.type !== 'steer' && event.type !== 'interrupt')
    throw new PerdureError(
      'RUN_CONFLICT',
      `The run \`${runId}\` is a conversation: it takes \`steer\` and \`interrupt\`, and prompts by \`session.run\`, not \`${event.type}\`.`,
      { details: { run: runId } },
    )
  const { text } = event
  if (typeof text !== 'string' || text === '')
    throw new TypeError(
      `Expected \`text\` of \`${event.type}\` to be a non-empty string, got \`${String(text)}\` (${typeof text})`,
    )
  const turn = turns.get(runId)
  if (turn === undefined) throw toNotRunning(runId, event.type)
  await turn.send({ type: event.type, text })
}

export const toNotRunning = (run: string, what: string): PerdureError =>
  new PerdureError(
    'TURN_NOT_RUNNING',
    `No turn of the conversation \`${run}\` is under way in this process: there is nothing to ${what}. Run it as a turn of its own.`,
    { details: { run } },
  )
