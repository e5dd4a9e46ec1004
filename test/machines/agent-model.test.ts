/**
 * Paths through the agent machine on the real runtime, found by XState's own graph: whatever happens to a durable agent, in whatever order, and wherever its process
 * dies, it comes to what the machine says.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PerdureError } from 'perdure'
import { createTestModel, type TestModelOptions } from 'perdure/testing'
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
  prompt,
  type SceneEvent,
  steer,
  toAnswer,
} from '../support/agent-scene.ts'

const crossed = new PerdureError('LIMIT_REACHED', 'in the middle', {
  details: { limit: 'tokens', scope: 'turn', max: 50, spent: 300, usage: { inputTokens: 200, outputTokens: 100 }, costUsd: 3 },
})
const output = { name: 'form', schema: {}, maxRepairs: 1 }

interface World {
  readonly first: SceneEvent
  readonly maxSteps: number
  readonly maxTurns: number
  /** Tool calls that the model may ask for. */
  readonly calls: readonly string[]
  readonly more?: readonly SceneEvent[]
  /** Beside `ready`, `thinking`, `failed` and `done`. */
  readonly reaches: readonly string[]
}

const worlds: Readonly<Record<string, World>> = {
  'tools, one of which waits for a person': {
    first: prompt('Hello', { maxParallel: 1 }),
    maxSteps: 2,
    maxTurns: 2,
    calls: ['a', 'ok-b'],
    reaches: ['acting'],
  },
  'limits that a person may extend': {
    first: prompt('Hello', { limits: { tokens: 150, wallTimeMs: 5 }, runLimits: { tokens: 250 }, onLimit: 'ask' }),
    maxSteps: 3,
    maxTurns: 1,
    calls: ['ok-a'],
    more: [modelFailed(crossed)],
    reaches: ['acting', 'limited'],
  },
  'limits that end the turn': {
    first: prompt('Hello', { limits: { steps: 1, costUsd: 9, wallTimeMs: 5 }, runLimits: { wallTimeMs: 9 } }),
    maxSteps: 2,
    maxTurns: 1,
    calls: ['a'],
    more: [answeredWith(toAnswer('', [], { costUsd: undefined, usage: undefined }))],
    reaches: ['acting'],
  },
  'an answer of a form': {
    first: prompt('Hello', { output }),
    maxSteps: 3,
    maxTurns: 1,
    calls: ['a'],
    reaches: ['acting', 'checking'],
  },
}

/** What may happen next: the user's events, and what each actor that is under way may come to. */
function toEvents(world: World, { context }: AgentState): readonly SceneEvent[] {
  const amount = context.reached === undefined ? {} : { [context.reached.limit]: 200 }
  const extended = (context.timesLimited ?? 0) < 2 ? [decidedLimit({ extend: amount })] : []
  const calls = world.calls.flatMap((id) => [
    decided(id, { approved: true, arguments: '{"x":1}' }),
    decided(id, { approved: false }),
    called(id),
    callFailed(id),
  ])
  return [
    world.first,
    steer('left'),
    interrupt('stop'),
    abort,
    answered('Hi.'),
    answered('', ...world.calls),
    modelFailed(),
    ...(world.more ?? []),
    checked(),
    checked('wrong'),
    decidedLimit({ stop: true }),
    ...extended,
    ...calls,
  ]
}

const mayGrow = ({ turn, queue = [], steering = [] }: AgentState['context'], maxTurns: number): boolean =>
  turn < maxTurns && queue.length + steering.length === 0

/** As much of a state as decides what follows. */
function toSignature(state: AgentState): string {
  const { turn, step, results, approved, steering, queue, messages, error, repairs, turnSpent, runSpent, ...rest } = state.context
  const last = messages.at(-1)
  const ids = [results, approved ?? {}].map((record) => Object.keys(record).sort())
  const asked = last?.role === 'assistant' ? last.toolCalls.length : last?.role
  const left = [
    (['steps', 'tokens'] as const).map((limit) => (turnSpent?.[limit] ?? 0) >= (rest.limits?.[limit] ?? Infinity)),
    (runSpent?.tokens ?? 0) >= (rest.runLimits?.tokens ?? Infinity),
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

/** Its actors are events too, which the machine does not tell to a user: hence the casts. */
type Options = TestModelOptions<typeof machine>

const toOptions = (world: World, more: Partial<Options> = {}): Options => ({
  input: { maxSteps: world.maxSteps },
  events: ((state: AgentState) => toEvents(world, state)) as NonNullable<Options['events']>,
  // Whether its time is up only its clock says.
  filterEvents: ({ context }, { type }) =>
    type !== 'limit.time' && (mayGrow(context, world.maxTurns) || !['prompt', 'steer', 'interrupt'].includes(type)),
  serializeState: toSignature,
  limit: 100_000,
  ...more,
})

/** All of them take minutes: a test plays one in so many, by turns, unless it is told to play each. */
const every = process.env.PERDURE_EVERY_PATH === undefined ? 12 : 1

describe('a durable agent that dies twice at every edge is as its machine on the paths', () => {
  for (const [name, world] of Object.entries(worlds)) {
    test(`with ${name}`, { timeout: 600_000 }, async () => {
      const reached = new Set<unknown>()
      const states: Options['states'] = {
        '*'({ value, context }) {
          reached.add(value)
          if (value === 'thinking' || value === 'ready') assertValidConversation(context.messages)
        },
      }
      const { paths } = createTestModel(machine, toOptions(world, { crash: true, states }))
      assert.ok(paths.length > 80, `${paths.length} paths`)
      for (const path of paths.filter((_, index) => index % every === 0)) await path.test()
      assert.deepEqual([...reached].sort(), ['done', 'failed', 'ready', 'thinking', ...world.reaches].sort())
    })
  }
})
