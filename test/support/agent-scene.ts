import assert from 'node:assert/strict'
import {
  type AgentEvent,
  agentMachine,
  type Message,
  type ModelAnswer,
  PerdureError,
  type ToolCall,
  type ToolMessage,
} from 'perdure'
import { initialTransition, type SnapshotFrom, transition } from 'xstate'
import type { Approval, LimitDecision } from '../../src/machines/agent.ts'

/** What happens to an agent machine, event by event: the user's, and what its actors come to. */

export type AgentState = SnapshotFrom<typeof agentMachine>
export interface SceneEvent {
  readonly type: string
}

const message = (callId: string, content: string): ToolMessage => ({
  role: 'tool',
  callId,
  name: 'note',
  content,
  isError: false,
})

/** A call whose id begins with `ok-` has to be approved. */
export const toCall = (id: string): ToolCall => ({ id, name: 'note', arguments: '{}' })
const needsApproval = (id: string): boolean => id.startsWith('ok-')

export const toAnswer = (content: string, ids: readonly string[] = [], more: Partial<ModelAnswer> = {}): ModelAnswer => ({
  message: { role: 'assistant', content, toolCalls: ids.map(toCall) },
  usage: { inputTokens: 60, outputTokens: 40, cachedInputTokens: 0, reasoningTokens: 0 },
  costUsd: 1,
  model: 'test',
  responseId: undefined,
  ...more,
})

export const failure = new PerdureError('MODEL_UNAVAILABLE', 'no luck', { details: { attempts: 3 } })

const done = (actorId: string, output: unknown) => ({ type: `xstate.done.actor.${actorId}`, actorId, output })
const failed = (actorId: string, error: unknown) => ({ type: `xstate.error.actor.${actorId}`, actorId, error })

export const prompt = (text = 'Hello', more: object = {}) => ({ type: 'prompt', text, ...more })
export const steer = (text: string) => ({ type: 'steer', text })
export const interrupt = (text: string) => ({ type: 'interrupt', text })
export const abort = { type: 'abort' }
export const timeUp = (scope: 'turn' | 'run', max: number) => ({ type: 'limit.time', scope, max })
/** The answer to a request: 100 tokens and a dollar, each. */
export const answered = (content: string, ...ids: readonly string[]) => done('model', toAnswer(content, ids))
export const answeredWith = (answer: ModelAnswer) => done('model', answer)
export const modelFailed = (error: unknown = failure) => failed('model', error)
export const called = (id: string) => done(`call.${id}`, message(id, `result of ${id}`))
export const callFailed = (id: string, error: unknown = failure) => failed(`call.${id}`, error)
export const decided = (id: string, approval: Approval) => done(`approval.${id}`, approval)
export const decidedLimit = (decision: LimitDecision) => done('limit', decision)
export const checked = (issues?: string) => done('check', issues)

export const machine = agentMachine.provide({ guards: { needsApproval: (_, { id }) => needsApproval(id) } })
type Input = NonNullable<Parameters<typeof initialTransition<typeof agentMachine>>[1]>

/** The machine after these events. */
export function play(events: readonly SceneEvent[], input: Input = {}): AgentState {
  let [state] = initialTransition(machine, input)
  for (const event of events) state = next(state, event)
  return state
}

/** Events of actors are none that a user may send: hence the cast. */
export const next = (state: AgentState, event: SceneEvent): AgentState => transition(machine, state, event as AgentEvent)[0]

export const texts = ({ context }: AgentState): string[] => context.messages.map(({ role, content }) => `${role}: ${content}`)
export const children = (state: AgentState): string[] => Object.keys(state.children).sort()

/** What the actor of a tool call was given. */
export function readInput<Input>(state: AgentState, actor: string): Input {
  const known: Readonly<Record<string, { getSnapshot(): unknown } | undefined>> = state.children
  const child = known[actor]
  assert.ok(child !== undefined, `there is an actor ${actor}`)
  const { input } = child.getSnapshot() as { input: Input } // a promise actor's, which holds its input
  return input
}

/** A model takes a conversation only if each call has its result, in the order of the calls, before anything else comes. */
export function assertValidConversation(messages: readonly Message[]): void {
  let expected: readonly string[] = []
  for (const [index, message] of messages.entries()) {
    const [callId, ...rest] = expected
    assert.equal(message.role === 'tool' ? message.callId : undefined, callId, `message ${index}`)
    expected = message.role === 'assistant' ? message.toolCalls.map(({ id }) => id) : rest
  }
  assert.deepEqual(expected, [], 'each call has its result')
}
