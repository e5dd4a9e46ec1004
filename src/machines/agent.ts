import { assign, enqueueActions, fromPromise, type NonReducibleUnknown, type PromiseActorLogic, setup, stopChild } from 'xstate'
import { isPerdureError, type PerdureErrorCode, toMessage } from '../errors.ts'
import type { AssistantMessage, Message, ModelAnswer, ToolCall, ToolMessage } from './conversation.ts'

/**
 * The heart of Perdure: an agent that thinks (asks a model) and acts (executes the tools that the model asked for) until it has
 * an answer. Decisions only: the slots `model` and `tool` are filled by `buildAgent`, or by you with `agentMachine.provide`.
 */

export interface AgentError {
  readonly code: PerdureErrorCode
  readonly message: string
  readonly details: Readonly<Record<string, unknown>>
}

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
}

export type AgentEvent =
  | { readonly type: 'prompt'; readonly text: string; readonly key?: string; readonly maxSteps?: number }
  | { readonly type: 'retry'; readonly maxSteps?: number }
  | { readonly type: 'abort' }
  | { readonly type: 'stop' }

/** What XState sends when the actor `call.<id>` of a tool call ends. */
type CallEvent =
  | { readonly type: 'xstate.done.actor.call.id'; readonly actorId: string; readonly output: ToolMessage }
  | { readonly type: 'xstate.error.actor.call.id'; readonly actorId: string; readonly error: unknown }

export interface AgentInput {
  readonly messages?: readonly Message[]
  /** Number of the last turn in `messages`. */
  readonly turn?: number
  readonly maxSteps?: number
}

export interface ModelInput {
  /** Names the call within the run. */
  readonly key: string
  readonly messages: readonly Message[]
}

export interface ToolInput {
  /** Names the call within the run. */
  readonly key: string
  readonly call: ToolCall
}

export type ModelLogic = PromiseActorLogic<ModelAnswer, ModelInput>
export type ToolLogic = PromiseActorLogic<ToolMessage, ToolInput>

/** Model requests a turn, where the profile does not say. */
const DEFAULT_MAX_STEPS = 50

const callActor = (call: ToolCall): string => `call.${call.id}`

/** A slot that nobody has filled fails when it is first used, and says so. */
function unprovided<TOutput, TInput extends NonReducibleUnknown>(slot: string): PromiseActorLogic<TOutput, TInput> {
  return fromPromise(() =>
    Promise.reject(new TypeError(`Expected the actor \`${slot}\` of the agent machine to be provided, got none`)),
  )
}

const lastMessage = (context: AgentContext): Message | undefined => context.messages.at(-1)

/** The tool calls that the newest answer asks for. */
function openCalls(context: AgentContext): readonly ToolCall[] {
  const last = lastMessage(context)
  return last?.role === 'assistant' ? last.toolCalls : []
}

/**
 * The conversation as a new prompt finds it. Every call needs a result before it can go on: one that has none after a failed turn
 * is given one that says so.
 */
export function readHistory(context: AgentContext): readonly Message[] {
  const results = openCalls(context).map(
    ({ id, name }): ToolMessage =>
      (Object.hasOwn(context.results, id) ? context.results[id] : undefined) ?? {
        role: 'tool',
        callId: id,
        name,
        content: 'This call was interrupted. Its outcome is not known.',
        isError: true,
      },
  )
  return [...context.messages, ...results]
}

const modelKey = (context: AgentContext): string => `call/${context.turnKey}/m${String(context.step).padStart(3, '0')}`

/** The answer of the newest finished turn. */
export function readAnswer(context: AgentContext): AssistantMessage | undefined {
  const last = lastMessage(context)
  return last?.role === 'assistant' && last.toolCalls.length === 0 ? last : undefined
}

function toAgentError(error: unknown): AgentError {
  if (isPerdureError(error)) return { code: error.code, message: error.message, details: error.details }
  return { code: 'CALL_FAILED', message: toMessage(error), details: {} }
}

export const agentMachine = setup({
  types: {
    // Types only: XState reads these at compile time.
    context: {} as AgentContext,
    events: {} as AgentEvent | CallEvent,
    input: {} as AgentInput | undefined,
    tags: {} as 'idle' | 'busy' | 'settled',
    meta: {} as { readonly waitsFor: 'prompt' | 'model' | 'tools' | 'retry' },
    children: {} as { model: 'model' },
  },
  actors: {
    model: unprovided<ModelAnswer, ModelInput>('model'),
    tool: unprovided<ToolMessage, ToolInput>('tool'),
  },
  guards: {
    asksForTools: ({ context }) => openCalls(context).length > 0,
    allSettled: ({ context }) => openCalls(context).every(({ id }) => Object.hasOwn(context.results, id)),
    hasStepsLeft: ({ context }) => context.step < context.maxSteps,
    resultsMissing: ({ context }) => openCalls(context).length > 0,
  },
  actions: {
    beginTurn: assign(({ context, event }) => {
      if (event.type !== 'prompt') return {}
      const history = readHistory(context)
      return {
        messages: [...history, { role: 'user', content: event.text } as const],
        turn: context.turn + 1,
        turnKey: event.key ?? String(context.turn + 1).padStart(6, '0'),
        turnStart: history.length,
        step: 0,
        maxSteps: event.maxSteps ?? context.maxSteps,
        results: {},
        error: undefined,
      }
    }),
    beginRetry: assign(({ context, event }) =>
      event.type !== 'retry' ? {} : { maxSteps: event.maxSteps ?? context.maxSteps, error: undefined },
    ),
    countStep: assign({ step: ({ context }) => context.step + 1 }),
    takeBackStep: assign({ step: ({ context }) => context.step - 1 }),
    appendAnswer: assign({
      messages: ({ context }, answer: ModelAnswer) => [...context.messages, answer.message],
    }),
    collectResult: assign({
      results: ({ context }, message: ToolMessage) => ({ ...context.results, [message.callId]: message }),
    }),
    appendResults: assign({
      // In the order in which the model asked, whatever the order in which they settled.
      messages: ({ context }) => [...context.messages, ...openCalls(context).flatMap(({ id }) => context.results[id] ?? [])],
      results: {},
    }),
    rememberError: assign({ error: (_, error: unknown) => toAgentError(error) }),
    rememberMaxSteps: assign({
      error: ({ context }) => ({
        code: 'MAX_STEPS',
        message: `The turn asked the model ${context.step} times without coming to an answer. Raise \`maxSteps\` in the profile and run it again, or make the task smaller.`,
        details: { maxSteps: context.maxSteps, turn: context.turn },
      }),
    }),
    rememberAbort: assign({
      error: ({ context }) => ({
        code: 'ABORTED',
        message: 'The turn was aborted. What had settled is kept; run it again to go on from there.',
        details: { turn: context.turn },
      }),
    }),
    startCalls: enqueueActions(({ enqueue, context }) => {
      for (const call of openCalls(context)) {
        if (Object.hasOwn(context.results, call.id)) continue
        enqueue.spawnChild('tool', { id: callActor(call), input: { key: `${modelKey(context)}/${call.id}`, call } })
      }
    }),
    stopCalls: enqueueActions(({ enqueue, context }) => {
      for (const call of openCalls(context)) enqueue.stopChild(callActor(call))
    }),
  },
}).createMachine({
  id: 'agent',
  description: 'Thinks and acts until it has an answer to the prompt',
  context: ({ input }) => ({
    messages: input?.messages ?? [],
    turn: input?.turn ?? 0,
    turnKey: '',
    turnStart: input?.messages?.length ?? 0,
    step: 0,
    maxSteps: input?.maxSteps ?? DEFAULT_MAX_STEPS,
    results: {},
    error: undefined,
  }),
  initial: 'ready',
  states: {
    ready: {
      tags: ['idle', 'settled'],
      description: 'Waits for a prompt',
      meta: { waitsFor: 'prompt' },
      on: { prompt: { target: 'thinking', actions: 'beginTurn' }, stop: 'done' },
    },
    thinking: {
      tags: 'busy',
      description: 'Asks the model',
      meta: { waitsFor: 'model' },
      entry: 'countStep',
      invoke: {
        id: 'model',
        src: 'model',
        input: ({ context }) => ({ key: modelKey(context), messages: context.messages }),
        onDone: {
          target: 'deciding',
          actions: { type: 'appendAnswer', params: ({ event }) => event.output },
        },
        onError: {
          target: 'failed',
          actions: [{ type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error }, 'takeBackStep'],
        },
      },
      on: { abort: { target: 'failed', actions: ['rememberAbort', 'takeBackStep'] } },
    },
    deciding: {
      tags: 'busy',
      description: 'Reads the answer',
      always: [{ guard: 'asksForTools', target: 'acting' }, { target: 'ready' }],
    },
    acting: {
      tags: 'busy',
      description: 'Executes the tool calls of one answer, all at once',
      meta: { waitsFor: 'tools' },
      entry: 'startCalls',
      exit: 'stopCalls',
      always: [{ guard: 'allSettled', target: 'continuing', actions: 'appendResults' }],
      on: {
        abort: { target: 'failed', actions: 'rememberAbort' },
        'xstate.done.actor.call.*': {
          actions: [{ type: 'collectResult', params: ({ event }) => event.output }, stopChild(({ event }) => event.actorId)],
        },
        'xstate.error.actor.call.*': {
          target: 'failed',
          actions: { type: 'rememberError', params: ({ event }: { event: { error: unknown } }) => event.error },
        },
      },
    },
    continuing: {
      tags: 'busy',
      description: 'Decides whether the model may be asked again',
      always: [
        { guard: 'hasStepsLeft', target: 'thinking' },
        { target: 'failed', actions: 'rememberMaxSteps' },
      ],
    },
    failed: {
      tags: ['idle', 'settled'],
      description: 'The turn ended without an answer; it can be tried again from where it stopped',
      meta: { waitsFor: 'retry' },
      on: {
        prompt: { target: 'thinking', actions: 'beginTurn' },
        retry: [
          { guard: 'resultsMissing', target: 'acting', actions: 'beginRetry' },
          { target: 'continuing', actions: 'beginRetry' },
        ],
        stop: 'done',
      },
    },
    done: { type: 'final', tags: 'settled', description: 'Takes no more prompts' },
  },
})

export type AgentMachine = typeof agentMachine
