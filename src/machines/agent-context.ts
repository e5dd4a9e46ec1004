import type { PromiseActorLogic } from 'xstate'
import type { PerdureErrorCode } from '../errors.ts'
import type { Message, ModelAnswer, Spent, ToolCall, ToolMessage } from './conversation.ts'
import type { Limits, ReachedLimit, Remaining } from './limits.ts'

/** What the agent machine knows, hears and says. */

/** How turns are limited; recorded with each turn. */
export interface TurnLimits {
  readonly maxSteps?: number | undefined
  /** Tool calls of one answer that are executed at once. */
  readonly maxParallel?: number | undefined
  /** What one turn may use. */
  readonly limits?: Limits | undefined
  /** What all turns of the conversation may use. */
  readonly runLimits?: Limits | undefined
  /** How much of the time of `runLimits` is left; without, it counts from the first turn. */
  readonly runTimeLeftMs?: number | undefined
  /** What happens at a limit of those: the turn fails with `LIMIT_REACHED` (default), or a person may extend it. */
  readonly onLimit?: 'fail' | 'ask' | undefined
}

/** An answer that has to be of a form. */
export interface OutputFormat {
  readonly name: string
  /** JSON Schema. */
  readonly schema: Readonly<Record<string, unknown>>
  /** How often an answer that does not fit may be sent back. */
  readonly maxRepairs: number
}

export interface AgentError {
  readonly code: PerdureErrorCode
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

/** What the agent machine knows: the conversation, and where its turn is. */
export interface AgentContext {
  /** The whole conversation, without the system prompt. Only ever appended to. */
  readonly messages: readonly Message[]
  /** Number of the turn, from 1; 0 before the first. */
  readonly turn: number
  /** Names the turn in step keys. */
  readonly turnKey: string
  /** How many messages came before this turn. */
  readonly turnStart: number
  /** Number of the model request in this turn, from 1. */
  readonly step: number
  readonly maxSteps: number
  /** Results of the tool calls that are being executed, by call id. */
  readonly results: Readonly<Record<string, ToolMessage>>
  readonly error: AgentError | undefined
  /** What was recorded by a version without them has none of the following. */
  readonly maxParallel?: number | undefined
  /** The tool calls that are under way: executed, or waiting to be approved. */
  readonly calls?: Readonly<Record<string, 'running' | 'approving'>> | undefined
  /** Tool calls that were approved, by id: the text of the arguments that were. */
  readonly approved?: Readonly<Record<string, string>> | undefined
  /** Messages that join before the next model request. */
  readonly steering?: readonly string[] | undefined
  /** What the user said in this turn after its prompt. */
  readonly said?: readonly string[] | undefined
  /** Prompts of the turns that follow this one. */
  readonly queue?: readonly Prompt[] | undefined
  readonly limits?: Limits | undefined
  readonly runLimits?: Limits | undefined
  readonly onLimit?: 'fail' | 'ask' | undefined
  /** What this turn used, and all turns. */
  readonly turnSpent?: Spent | undefined
  readonly runSpent?: Spent | undefined
  /** The limit that the turn came to, and that a person is asked about. */
  readonly reached?: ReachedLimit | undefined
  /** The time of this turn is up. */
  readonly turnTimeUp?: ReachedLimit | undefined
  /** What a person has granted for all turns, beyond `runLimits` as they were given. */
  readonly runGranted?: Limits | undefined
  /** How much of the time of all turns is left at the beginning of this one. */
  readonly runTimeLeftMs?: number | undefined
  /** The time of all turns is up. */
  readonly runTimeUp?: ReachedLimit | undefined
  /** How often a limit was reached in this turn, for the key of the question. */
  readonly timesLimited?: number | undefined
  readonly output?: OutputFormat | undefined
  /** How often an answer of this turn was sent back. */
  readonly repairs?: number | undefined
  /** Calls that were ended before are made again: their records are looked for. */
  readonly isAgain?: boolean | undefined
  /** It was begun with a prompt, and ends with the answer to it. */
  readonly endsWithAnswer?: boolean | undefined
}

/** What begins a turn. */
export interface Prompt extends TurnLimits {
  readonly text: string
  readonly key?: string | undefined
  readonly output?: OutputFormat | undefined
  /** What the user said after it, when the turn was begun before and starts over. */
  readonly said?: readonly string[] | undefined
  /** What all turns before it used, as it is recorded: also in calls that were ended, of which the machine was not told. */
  readonly spent?: Spent | undefined
}

/** What the agent machine is told. */
export type AgentEvent =
  /** Begins a turn; while one is under way: the turn after it. */
  | (Prompt & { readonly type: 'prompt' })
  | (TurnLimits & { readonly type: 'retry' })
  /** A message of the user that joins before the next model request; between turns it begins one. */
  | { readonly type: 'steer'; readonly text: string }
  /** Ends the calls that are under way, and goes on with this message; between turns it begins one. */
  | { readonly type: 'interrupt'; readonly text: string }
  | { readonly type: 'abort' }
  | { readonly type: 'stop' }

/** What the machine tells itself: the time of a turn or a run is up. */
export interface TimeEvent {
  readonly type: 'limit.time'
  readonly scope: 'turn' | 'run'
  readonly max: number
}

/** What XState sends when the actor `call.<id>` of a tool call, or `approval.<id>`, ends. */
export type CallEvent =
  | { readonly type: 'xstate.done.actor.call.id'; readonly actorId: string; readonly output: ToolMessage }
  | { readonly type: 'xstate.error.actor.call.id'; readonly actorId: string; readonly error: unknown }
  | { readonly type: 'xstate.done.actor.approval.id'; readonly actorId: string; readonly output: Approval }
  | { readonly type: 'xstate.error.actor.approval.id'; readonly actorId: string; readonly error: unknown }

/** What the agent machine begins with: nothing, an earlier conversation, or a prompt. */
export interface AgentInput extends TurnLimits {
  readonly messages?: readonly Message[]
  /** Number of the last turn in `messages`. */
  readonly turn?: number
  /** What these turns have used, and what a person has granted them. */
  readonly runSpent?: Spent | undefined
  readonly runGranted?: Limits | undefined
  /** Begins with this prompt, and ends with the answer to it: for `runtime.start`, and for a machine that invokes the agent. */
  readonly prompt?: string
}

/** What an agent that was begun with a prompt ends with. */
export interface AgentOutput {
  readonly output: string
  readonly spent: Spent
}

export interface ModelInput {
  /** Names the call within the run. */
  readonly key: string
  readonly messages: readonly Message[]
  /** What the answer may use; of steps it is one itself. */
  readonly remaining?: Remaining | undefined
  readonly output?: OutputFormat | undefined
  /** It may have been begun before. */
  readonly isAgain?: boolean | undefined
}

/** A call as it is executed: `isEdited` when a person changed what the model asked for. */
export type ApprovedCall = ToolCall & { readonly isEdited?: boolean | undefined }

export interface ToolInput {
  /** Names the call within the run. */
  readonly key: string
  readonly call: ApprovedCall
  /** What the agents that work for it may use. */
  readonly remaining?: Remaining | undefined
  /** It may have been begun before. */
  readonly isAgain?: boolean | undefined
}

/** What a person said of a tool call: `arguments` are those that were approved, as text. */
export type Approval =
  | { readonly approved: true; readonly arguments: string }
  | { readonly approved: false; readonly reason?: string | undefined }

export interface LimitInput {
  /** Names the question within the run. */
  readonly key: string
  readonly reached: ReachedLimit
}

/** What a person said at a limit: by how much it is raised, or that the turn is to end. */
export type LimitDecision = { readonly extend: Limits } | { readonly stop: true }

export interface CheckInput {
  readonly output: OutputFormat
  readonly text: string
}

/** What is wrong with an answer; `undefined` when nothing is. */
export type CheckOutcome = string | undefined

export type ModelLogic = PromiseActorLogic<ModelAnswer, ModelInput>
export type ToolLogic = PromiseActorLogic<ToolMessage, ToolInput>
export type ApprovalLogic = PromiseActorLogic<Approval, ToolInput>
export type LimitLogic = PromiseActorLogic<LimitDecision, LimitInput>
export type CheckLogic = PromiseActorLogic<CheckOutcome, CheckInput>
