import type { AgentContext } from './agent-context.ts'
import { DEFAULT_MAX_STEPS } from './agent-turn.ts'
import type { Message, Spent, ToolMessage } from './conversation.ts'
import { NOTHING_SPENT } from './limits.ts'

/** A turn as it was right before one of its calls. */
export interface BrokenOffTurn {
  /** Names the turn in step keys. */
  readonly key: string
  /** How many messages came before the turn. */
  readonly start: number
  /** How many model requests it had made. Default: none. */
  readonly step?: number | undefined
  /** Results of tool calls of the newest answer, by call id. Default: none is known. */
  readonly results?: Readonly<Record<string, ToolMessage>> | undefined
  /** What it had used. Default: nothing. */
  readonly spent?: Spent | undefined
}

/** Where the agent machine stands in a conversation of `turn` turns: it waits for a prompt, or for `retry` if the last of them was broken off. */
export function toForkedState(
  messages: readonly Message[],
  turn: number,
  brokenOff: BrokenOffTurn | undefined,
): { readonly value: 'ready' | 'failed'; readonly context: AgentContext } {
  const { key = '', start = messages.length, step = 0, results = {}, spent = NOTHING_SPENT } = brokenOff ?? {}
  return {
    value: brokenOff === undefined ? 'ready' : 'failed',
    context: {
      messages,
      turn,
      turnKey: key,
      turnStart: start,
      step,
      maxSteps: DEFAULT_MAX_STEPS,
      results,
      turnSpent: spent,
      error:
        brokenOff === undefined
          ? undefined
          : { code: 'ABORTED', message: 'The conversation was forked here. Run the turn to go on.', details: { turn } },
    },
  }
}
