import type { z } from 'zod'
import type { ParsedProfile } from '../actors/profile.ts'
import type { Agent } from './agent.ts'
import { assertPrompt, toRequest } from './agent-request.ts'
import type { CheckpointStrategy } from './conversation.ts'
import { type Fingerprint, toFingerprint, toHash } from './fingerprint.ts'
import type { ForkOptions } from './fork-options.ts'
import type { StreamChunk, StreamOptions } from './stream.ts'
import type { TurnFunction, TurnOptions, TurnResult } from './turn.ts'

/** How an agent is made durable. */
export interface DurableOptions {
  /**
   * `calls` (default): each model request and each tool call is a checkpoint; a resume goes on after the last one that settled.
   * `turn`: only whole turns are; a turn that was cut off runs again from its start.
   */
  readonly checkpoint?: CheckpointStrategy | undefined
}

export interface SessionTurnOptions<Output extends z.ZodType | undefined = undefined> extends TurnOptions<Output> {
  /**
   * Names the turn, for instance by the id of the message that caused it: asked for again, it is the same turn and its result
   * comes from the store. Without it turns are matched in order; see {@link Session}.
   */
  readonly id?: string | undefined
}

/**
 * One durable conversation outside of a flow.
 *
 * After a restart, ask again what you asked: as long as the prompts are those that were recorded, in their order, finished turns
 * come from the store and an unfinished one goes on. The first prompt that differs is a new turn at the end of the conversation,
 * and so is everything after it. A chat, where the same words may mean a new message, names its turns (`{ id }`): those are
 * never matched by order.
 */
export interface Session<Output = string> {
  /** The run that holds the conversation: `<profile.name>/<id>`. */
  readonly runId: string
  /**
   * Runs one turn; a second one waits for the first. When it resolves, the result is on disk. Errors: `MODEL_*`, `MAX_STEPS`,
   * `ABORTED`, `STORE_*`, `RUN_CORRUPT`; what had settled before is kept, and asking again goes on from there.
   */
  readonly run: TurnFunction<Output, SessionTurnOptions>
  /**
   * Takes up the last turn if it came to no answer: it was cut off, has failed, or is the one at which the conversation was forked. `undefined`: there is nothing to take up.
   * When it resolves, the result is on disk. Errors: as {@link Session.run}.
   */
  resume(options?: TurnOptions): Promise<TurnResult<Output> | undefined>
  /**
   * A new conversation that begins with what came before a point of this one, with something else from there on: `id` names the new session. Nothing is copied and nothing is
   * executed; {@link Session.resume} of the new one takes up the turn at which it was forked. On disk when it resolves. Errors: as `runtime.fork`.
   *
   * @example
   * ```ts
   * const other = await session.fork({ at: { turn: 3 }, systemPrompt: 'Be thorough.' })
   * const { output } = await other.resume()
   * ```
   */
  fork(options: ForkOptions): Promise<Session<Output>>
  /**
   * A message of the user for the turn that is under way: it joins before the next model request. An answer that the model gives without having read it
   * is not the last. On disk when it resolves. (A turn of its own that comes after this one is {@link Session.run}, which waits for its turn.)
   *
   * Errors: `TURN_NOT_RUNNING`, `STORE_*`.
   */
  steer(text: string): Promise<void>
  /**
   * Ends the calls that are under way, and goes on with this message: the model is told that they were interrupted. On disk when it resolves.
   *
   * Errors: `TURN_NOT_RUNNING`, `STORE_*`.
   */
  interrupt(text: string): Promise<void>
  /** What the model writes and the tools tell, as {@link Run.stream}; also before the first turn. It does not end by itself. */
  stream(options?: StreamOptions): AsyncIterable<StreamChunk>
}

/** An agent whose turns survive the process. */
export interface DurableAgent<Output = string> {
  readonly profile: ParsedProfile
  /**
   * Runs one turn. In a flow it is a checkpoint of that flow, named `<profile.name>`, `<profile.name>_2`, …; outside of one it is a
   * turn of the session `main`. When it resolves, the result is on disk. Errors: `MODEL_*`, `MAX_STEPS`, `ABORTED`, `STORE_*`,
   * `RUN_CORRUPT`, and `STEP_NESTED` inside of `flow.step`.
   */
  readonly run: TurnFunction<Output>
  /** A conversation of its own, by id. */
  session(id: string): Session<Output>
}

/** What a turn of `agent` with this prompt is compared by. */
export function toTurnFingerprint(agent: Agent<unknown>, prompt: string, output?: z.ZodType): Fingerprint {
  assertPrompt(prompt)
  if (output !== undefined) return toFingerprint({ prompt, ...toRequest(agent.profile, agent.tools, output) })
  let own = fingerprints.get(agent)
  if (own === undefined) {
    const { prompt: _, ...rest } = toFingerprint({ prompt, ...toRequest(agent.profile, agent.tools) })
    own = rest
    fingerprints.set(agent, own)
  }
  return { prompt: toHash(prompt), ...own }
}

/** What all turns of an agent have in common. */
const fingerprints = new WeakMap<Agent<unknown>, Omit<Fingerprint, 'prompt'>>()
