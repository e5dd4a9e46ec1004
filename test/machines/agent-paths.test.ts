/**
 * Paths through the agent machine, found by XState's own graph: whatever happens to it, in whatever order, what it promises of
 * every state holds in each that can be reached.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { AgentEvent } from 'perdure'
import { PerdureError } from 'perdure'
import { getShortestPaths } from 'xstate/graph'
import {
  type AgentState,
  abort,
  answered,
  answeredWith,
  assertValidConversation,
  called,
  callFailed,
  checked,
  children,
  decided,
  decidedLimit,
  interrupt,
  machine,
  modelFailed,
  next,
  play,
  prompt,
  type SceneEvent,
  steer,
  timeUp,
  toAnswer,
} from '../support/agent-scene.ts'

const crossed = new PerdureError('LIMIT_REACHED', 'in the middle', {
  details: { limit: 'tokens', scope: 'turn', max: 50, spent: 300, usage: { inputTokens: 200, outputTokens: 100 }, costUsd: 3 },
})
const output = { name: 'form', schema: {}, maxRepairs: 1 }

interface World {
  readonly first: SceneEvent
  readonly maxSteps: number
  /** Tool calls that the model may ask for. */
  readonly calls: readonly (readonly string[])[]
  readonly isTimed?: boolean
  /** Beside `ready`, `thinking`, `failed` and `done`. */
  readonly reaches: readonly string[]
}

const worlds: Readonly<Record<string, World>> = {
  'tools, one of which waits for a person': {
    first: prompt('Hello', { maxParallel: 1 }),
    maxSteps: 2,
    calls: [['a', 'ok-b', 'c']],
    reaches: ['acting'],
  },
  'limits that a person may extend': {
    first: prompt('Hello', { limits: { tokens: 150, wallTimeMs: 5 }, runLimits: { tokens: 250 }, onLimit: 'ask' }),
    maxSteps: 3,
    calls: [['ok-a']],
    reaches: ['acting', 'limited'],
    isTimed: true,
  },
  'limits that end the turn': {
    first: prompt('Hello', { limits: { steps: 1, costUsd: 9, wallTimeMs: 5 }, runLimits: { wallTimeMs: 9 } }),
    maxSteps: 2,
    calls: [['a']],
    reaches: ['acting'],
    isTimed: true,
  },
  'an answer of a form': { first: prompt('Hello', { output }), maxSteps: 3, calls: [['a']], reaches: ['acting', 'checking'] },
}

/** What may happen next: the user's events, and what each actor that is under way may come to. */
function toEvents(world: World, state: AgentState, maxTurns: number): SceneEvent[] {
  const { context } = state
  const waits = (context.queue?.length ?? 0) + (context.steering?.length ?? 0)
  const mayGrow = waits === 0 && context.turn < maxTurns
  const users = mayGrow ? [{ ...world.first, text: 'Next' }, steer('left'), interrupt('stop')] : []
  const time =
    world.isTimed === true
      ? [timeUp('turn', context.limits?.wallTimeMs ?? 5), timeUp('run', context.runLimits?.wallTimeMs ?? 5)]
      : []
  const actors = children(state).flatMap((child): SceneEvent[] => {
    const id = child.slice(child.indexOf('.') + 1)
    if (child === 'model') {
      const lost = answeredWith(toAnswer('', [], { costUsd: undefined, usage: undefined }))
      const asks = world.calls.map((ids) => answered('', ...ids))
      return [answered('Hi.'), ...asks, lost, modelFailed(), ...(world.isTimed === true ? [modelFailed(crossed)] : [])]
    }
    if (child === 'check')
      return [checked(), checked('wrong'), { type: 'xstate.error.actor.check', error: crossed } as SceneEvent]
    if (child === 'limit') {
      const amount = context.reached === undefined ? {} : { [context.reached.limit]: 200 }
      const mayExtend = (context.timesLimited ?? 0) < maxTurns
      return [decidedLimit({ stop: true }), ...(mayExtend ? [decidedLimit({ extend: amount })] : [])]
    }
    if (child.startsWith('approval.'))
      return [decided(id, { approved: true, arguments: '{"x":1}' }), decided(id, { approved: false })]
    return [called(id), callFailed(id)]
  })
  return [...users, ...time, ...actors, abort, { type: 'retry' }, { type: 'stop' }]
}

/** As much of a state as decides what follows. */
function toSignature(state: AgentState): string {
  const { turn, step, results, approved, steering, queue, messages, error, repairs, turnSpent, runSpent, ...rest } = state.context
  const last = messages.at(-1)
  const ids = [results, approved ?? {}].map((record) => Object.keys(record).sort())
  const asked = last?.role === 'assistant' ? last.toolCalls.length : last?.role
  const left = [
    (['steps', 'tokens'] as const).map((limit) => (turnSpent?.[limit] ?? 0) >= (rest.limits?.[limit] ?? Infinity)),
    (runSpent?.tokens ?? 0) >= (rest.runLimits?.tokens ?? Infinity),
    rest.limits?.costUsd !== undefined && turnSpent?.unpricedCalls !== 0,
  ]
  const limits = [
    rest.turnTimeUp !== undefined,
    rest.runTimeUp !== undefined,
    rest.reached?.limit,
    Math.min(rest.timesLimited ?? 0, 2),
  ]
  const waiting = [steering?.length, queue?.length]
  return JSON.stringify([state.value, turn, step, ids, waiting, asked, error?.code, repairs, left, limits, children(state)])
}

/** The actors that a state has, by what it is about. */
function expectChildren(state: AgentState): string[] {
  const { messages, results, calls = {}, approved = {}, maxParallel = 16 } = state.context
  if (state.value === 'thinking') return ['model']
  if (state.value === 'checking') return ['check']
  if (state.value === 'limited') return ['limit']
  if (state.value !== 'acting') return []
  const last = messages.at(-1)
  const open = (last?.role === 'assistant' ? last.toolCalls : []).filter(({ id }) => !Object.hasOwn(results, id))
  const running = open.filter(({ id }) => calls[id] === 'running')
  const asking = open.filter(({ id }) => calls[id] === 'approving' && !Object.hasOwn(approved, id))
  assert.ok(running.length <= maxParallel, 'no more run at once than may')
  assert.ok(running.length + asking.length > 0, 'something is under way')
  const isIdle = running.length < maxParallel && running.length + asking.length < open.length
  assert.ok(!isIdle, 'none waits that may run')
  return [...running.map(({ id }) => `call.${id}`), ...asking.map(({ id }) => `approval.${id}`)].sort()
}

function assertState(state: AgentState): void {
  const { context, value } = state
  assert.deepEqual(children(state), expectChildren(state), 'no actor is left behind')
  if (value === 'thinking' || value === 'ready') assertValidConversation(context.messages)
  if (value === 'failed') assert.ok(context.error !== undefined, 'a failed turn says why')
  if (value === 'limited') assert.ok(context.reached !== undefined, 'it is known what a person is asked about')
  if (state.hasTag('busy')) {
    const ended = next(state, abort)
    assert.deepEqual([ended.value, children(ended), ended.context.error?.code], ['failed', [], 'ABORTED'])
  }
}

function assertStep(before: AgentState, after: AgentState): void {
  const [old, now] = [before.context, after.context]
  for (const [index, message] of old.messages.entries()) assert.equal(now.messages[index], message, 'messages are only appended')
  const isSameTurn = old.turn === now.turn
  for (const limit of ['steps', 'tokens', 'costUsd', 'unpricedCalls'] as const) {
    assert.ok((now.runSpent?.[limit] ?? 0) >= (old.runSpent?.[limit] ?? 0), 'what was spent stays spent')
    if (isSameTurn) assert.ok((now.turnSpent?.[limit] ?? 0) >= (old.turnSpent?.[limit] ?? 0))
  }
  assert.ok(now.step <= now.maxSteps, 'no more is asked than may be')
  if (after.value === 'thinking' && before.children.model !== after.children.model)
    assert.equal(now.steering?.length ?? 0, 0, 'what steers has joined')
}

describe('on every path', () => {
  for (const [name, world] of Object.entries(worlds)) {
    const input = { maxSteps: world.maxSteps }

    test(`what the agent machine promises holds, with ${name}`, () => {
      const paths = getShortestPaths(machine, {
        input,
        events: (state) => toEvents(world, state, 2) as unknown as AgentEvent[], // those of actors too
        serializeState: (state) => toSignature(state),
        limit: 200_000,
      })
      const reached = new Set<unknown>()
      for (const { steps } of paths) {
        let state = play([], input)
        // The first step is how it begins. Of states that are alike the graph keeps one: it is played again.
        for (const { event } of steps.slice(1)) {
          const after = next(state, event)
          assertStep(state, after)
          state = after
        }
        assertState(state)
        reached.add(state.value)
      }
      assert.deepEqual([...reached].sort(), ['done', 'failed', 'ready', 'thinking', ...world.reaches].sort())
    })

    test(`what the agent machine promises holds at random too, with ${name}`, () => {
      fc.assert(
        fc.property(fc.array(fc.nat(), { maxLength: 60 }), (choices) => {
          let state = play([], input)
          for (const choice of choices) {
            const events = toEvents(world, state, 9)
            const event = events[choice % events.length]
            if (event === undefined) break
            const after = next(state, event)
            assertStep(state, after)
            assertState(after)
            state = after
          }
        }),
        { numRuns: 300 },
      )
    })
  }
})
