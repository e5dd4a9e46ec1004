import type { Actor } from 'xstate'
import { PerdureError } from '../errors.ts'
import type { AgentContext, AgentError, AgentMachine } from '../machines/agent.ts'
import type { Spend } from './spend.ts'

export type AgentActor = Actor<AgentMachine>

/** What one turn may be given. */
export interface TurnOptions {
  /** Ends the turn with `ABORTED`. A durable turn stays unfinished: running it again continues it. */
  readonly signal?: AbortSignal | undefined
  /** Called with each piece of the model's text as it arrives. What is returned from the store arrives in `output` only. */
  readonly onText?: ((delta: string) => void) | undefined
}

/** What a turn came to. */
export interface TurnResult {
  /** The answer. */
  readonly output: string
  /** `<profile.name>` for the first turn of a conversation, then `<profile.name>_2`, … */
  readonly checkpoint: string
  /** Number of the turn in its conversation, from 1. */
  readonly turn: number
  /** Returned from the store: nothing was executed. */
  readonly reused: boolean
  /** What the turn cost in all, whenever it was paid. */
  readonly spend: Spend
}

/** `name`, `name_2`, `name_3`, … */
export const toCheckpointName = (name: string, turn: number): string => (turn === 1 ? name : `${name}_${turn}`)

/** The error that a machine remembered, as it was thrown. */
export function fromAgentError({ code, message, details }: AgentError): PerdureError {
  return new PerdureError(code, message, { details })
}

export function toAborted(what: string, signal: AbortSignal | undefined): PerdureError {
  return new PerdureError('ABORTED', `${what} was aborted. What had settled is kept; run it again to go on.`, {
    cause: signal?.reason,
  })
}

/**
 * Calls `settled` once for each turn that was armed, within the transition that ends it; and `broken` when the actor itself
 * fails. Arm before what begins the turn.
 */
export function watchTurns(
  actor: AgentActor,
  on: { readonly settled: (context: AgentContext) => void; readonly broken: (error: unknown) => void },
): { arm(): void } {
  let armed = false
  actor.subscribe({
    next(snapshot) {
      if (!armed || !snapshot.hasTag('settled')) return
      armed = false
      try {
        on.settled(snapshot.context)
      } catch (error) {
        on.broken(error) // XState would only report it, and the turn would never end
      }
    },
    error: on.broken,
  })
  return {
    arm() {
      armed = true
    },
  }
}
