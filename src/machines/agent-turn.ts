import { isPerdureError, toMessage } from '../errors.ts'
import type { AgentContext, AgentError, Prompt, TurnLimits } from './agent-context.ts'
import type { AssistantMessage, Message, Spent, ToolCall, ToolMessage, UserMessage } from './conversation.ts'
import {
  addSpent,
  findReached,
  type LimitScope,
  type Limits,
  mostSpent,
  NOTHING_SPENT,
  type ReachedLimit,
  type Remaining,
  raiseLimits,
  toLimitText,
  toRemaining,
} from './limits.ts'

/** What the agent machine works out of its context. */

/** Model requests a turn, where the profile does not say. */
export const DEFAULT_MAX_STEPS = 50

/** Tool calls at once, where the profile does not say. */
export const DEFAULT_MAX_PARALLEL = 16

export const callActor = (call: ToolCall): string => `call.${call.id}`
export const approvalActor = (call: ToolCall): string => `approval.${call.id}`
/** The id of the call that the actor `call.<id>` or `approval.<id>` is for. */
export const toCallId = (actorId: string): string => actorId.slice(actorId.indexOf('.') + 1)

const lastMessage = (context: AgentContext): Message | undefined => context.messages.at(-1)

/** The tool calls that the newest answer asks for. */
export function openCalls(context: AgentContext): readonly ToolCall[] {
  const last = lastMessage(context)
  return last?.role === 'assistant' ? last.toolCalls : []
}

/** Ids of calls may be any text, also one that every object has: `constructor`. */
export const readOwn = <T>(record: Readonly<Record<string, T>> | undefined, id: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, id) ? record[id] : undefined

/**
 * The conversation as a new prompt finds it. Every call needs a result before it can go on: one that has none after a failed turn
 * is given one that says so. Messages that did not come to join it come last.
 */
export function readHistory(context: AgentContext): readonly Message[] {
  const results = openCalls(context).map(
    ({ id, name }): ToolMessage =>
      readOwn(context.results, id) ?? {
        role: 'tool',
        callId: id,
        name,
        content: 'This call was interrupted. Its outcome is not known.',
        isError: true,
      },
  )
  return [...context.messages, ...results, ...(context.steering ?? []).map(toUserMessage)]
}

export const modelKey = (context: AgentContext): string => `call/${context.turnKey}/m${String(context.step).padStart(3, '0')}`

/** The answer of the newest finished turn. */
export function readAnswer(context: AgentContext): AssistantMessage | undefined {
  const last = lastMessage(context)
  return last?.role === 'assistant' && last.toolCalls.length === 0 ? last : undefined
}

/** Whether there is an answer whose form was not told yet. A check that failed itself has told nothing; one that did, its issues. */
export const isUnchecked = (context: AgentContext): boolean =>
  readAnswer(context) !== undefined && !(context.error?.code === 'OUTPUT_INVALID' && 'issues' in context.error.details)

export const limitKey = (context: AgentContext): string => `call/${context.turnKey}/limit${context.timesLimited ?? 1}`

const spentOf = (context: AgentContext): { readonly turn: Spent; readonly run: Spent } => ({
  turn: context.turnSpent ?? NOTHING_SPENT,
  run: context.runSpent ?? NOTHING_SPENT,
})

export function spend(context: AgentContext, by: Partial<Spent>): Pick<AgentContext, 'turnSpent' | 'runSpent'> {
  const { turn, run } = spentOf(context)
  return { turnSpent: addSpent(turn, by), runSpent: addSpent(run, by) }
}

export function readRemaining(context: AgentContext): Remaining {
  const { turn, run } = spentOf(context)
  return toRemaining({ limits: context.limits, spent: turn }, { limits: context.runLimits, spent: run })
}

export function readReached(context: AgentContext): ReachedLimit | undefined {
  const { turn, run } = spentOf(context)
  return (
    context.turnTimeUp ??
    context.runTimeUp ??
    findReached('turn', context.limits, turn) ??
    findReached('run', context.runLimits, run)
  )
}

export const readTimeLimit = ({ limits, runLimits }: AgentContext, scope: LimitScope): number | undefined =>
  (scope === 'run' ? runLimits : limits)?.wallTimeMs

export const isCostUnknown = (context: AgentContext): boolean => {
  const { turn, run } = spentOf(context)
  return (
    (context.limits?.costUsd !== undefined && turn.unpricedCalls > 0) ||
    (context.runLimits?.costUsd !== undefined && run.unpricedCalls > 0)
  )
}

/** A limit that the model actor came to while the answer was under way. */
export function toReached(error: unknown): ReachedLimit | undefined {
  // Made by the model actor, with these details.
  return isPerdureError(error, 'LIMIT_REACHED') ? (error.details as unknown as ReachedLimit) : undefined
}

export function toLimitError(reached: ReachedLimit, turn: number): AgentError {
  return {
    code: 'LIMIT_REACHED',
    message: `The turn came to ${toLimitText(reached)}. What had settled is kept: raise the limit and run it again to go on.`,
    details: { ...reached, turn },
  }
}

export const toUserMessage = (content: string): UserMessage => ({ role: 'user', content })

/** What a turn begins with. */
export function beginTurn(context: AgentContext, prompt: Prompt): Partial<AgentContext> {
  const history = readHistory(context)
  return {
    messages: [...history, ...[prompt.text, ...(prompt.said ?? [])].map(toUserMessage)],
    turn: context.turn + 1,
    turnKey: prompt.key ?? String(context.turn + 1).padStart(6, '0'),
    turnStart: history.length,
    steering: [],
    said: prompt.said ?? [],
    step: 0,
    results: {},
    calls: {},
    approved: {},
    error: undefined,
    turnSpent: NOTHING_SPENT,
    runSpent: mostSpent(context.runSpent ?? NOTHING_SPENT, prompt.spent),
    timesLimited: 0,
    output: prompt.output,
    repairs: 0,
    isAgain: false,
    ...limitTurn(context, prompt),
  }
}

/** The limits of a turn: those that are given, else those of the turn before. */
export function limitTurn(context: AgentContext, given: TurnLimits): Partial<AgentContext> {
  const isGiven = 'limits' in given || 'runLimits' in given
  const { limits, onLimit } = isGiven ? given : context
  const runLimits = isGiven ? grant(given.runLimits, context.runGranted) : context.runLimits
  const { runTimeUp } = context
  const isRaised = runTimeUp !== undefined && (runLimits?.wallTimeMs ?? Number.POSITIVE_INFINITY) > runTimeUp.max
  return {
    maxSteps: given.maxSteps ?? context.maxSteps,
    maxParallel: given.maxParallel ?? context.maxParallel,
    limits,
    runLimits,
    onLimit,
    reached: undefined,
    turnTimeUp: undefined,
    runTimeUp: isRaised ? undefined : runTimeUp,
    runTimeLeftMs: given.runTimeLeftMs ?? toTimeLeft(context, runLimits?.wallTimeMs),
  }
}

const grant = (limits: Limits | undefined, granted: Limits | undefined): Limits | undefined =>
  limits === undefined || granted === undefined ? limits : raiseLimits(limits, granted)

/** Without a clock: all of it in the first turn, and in a later one what it was raised by when it was up. */
function toTimeLeft({ turn, runTimeUp }: AgentContext, max: number | undefined): number | undefined {
  if (max === undefined) return undefined
  if (runTimeUp !== undefined) return max > runTimeUp.max ? max - runTimeUp.max : undefined
  return turn === 0 ? max : undefined
}

export function toAgentError(error: unknown): AgentError {
  if (isPerdureError(error)) return { code: error.code, message: error.message, details: error.details }
  return { code: 'CALL_FAILED', message: toMessage(error), details: {} }
}
