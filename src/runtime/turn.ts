import type { Actor } from 'xstate'
import type { z } from 'zod'
import { PerdureError } from '../errors.ts'
import type { AgentContext, AgentError, AgentMachine } from '../machines/agent.ts'
import type { Spend } from './spend.ts'

export type AgentActor = Actor<AgentMachine>

/** What one turn may be given. `Output` is the type of its `output`. */
export interface TurnOptions<Output extends z.ZodType | undefined = undefined> {
  /** Ends the turn with `ABORTED`. A durable turn stays unfinished: running it again continues it. */
  readonly signal?: AbortSignal | undefined
  /** Called with each piece of the model's text as it arrives. What is returned from the store arrives in `output` only. */
  readonly onText?: ((delta: string) => void) | undefined
  /**
   * A zod schema: the answer has to be JSON that fits, and is returned parsed. One that does not fit is sent back to the model with what is wrong,
   * `maxRepairs` times. What is recorded is its text: refinements and transforms are executed again each time that the turn is returned, also from the
   * store, and should have no effects. Another JSON Schema makes another turn of it. Default: that of the profile.
   */
  readonly output?: Output | undefined
}

export type AnyTurnOptions = TurnOptions<z.ZodType | undefined>

/** Runs a turn. `Output` is what it answers when the turn itself has no schema. */
export interface TurnFunction<Output, Options extends AnyTurnOptions = TurnOptions> {
  <Schema extends z.ZodType>(
    prompt: string,
    options: Omit<Options, 'output'> & { readonly output: Schema },
  ): Promise<TurnResult<z.output<Schema>>>
  (prompt: string, options?: Omit<Options, 'output'> & { readonly output?: undefined }): Promise<TurnResult<Output>>
}

/** What a turn came to. */
export interface TurnResult<Output = string> {
  /** The answer: its text, or what it says when it was asked for in a form. */
  readonly output: Output
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
