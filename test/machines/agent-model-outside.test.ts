/**
 * An agent on the real runtime, with its real actors, and an outside that behaves in any way: a model that answers, asks for tools or fails, a tool that settles or throws, a
 * person who approves, denies, edits, settles, extends, stops, interrupts or cancels, and a process that dies. What must come of it is told by a machine that knows nothing of
 * agents; the sequences are found by XState's graph.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Agent, buildAgent, isPerdureError, type Model, type ModelAnswer, type Pending, tool } from 'perdure'
import { testClock } from 'perdure/testing'
import { assign, type SnapshotFrom, setup } from 'xstate'
import { createTestModel } from 'xstate/graph'
import { z } from 'zod'
import { toMessage } from '../../src/errors.ts'
import { createImage } from '../../src/testing/explore/image.ts'
import { openLife } from '../../src/testing/model/model-life.ts'

interface Expected {
  /** Who speaks in the conversation: user, assistant, or the result of a tool. */
  readonly roles: string
  /** How often the tool was executed. */
  readonly executed: number
  /** Requests of this turn that were made, as its limit counts them: also those that a death cut off. */
  readonly spent: number
  /** How many of the request under way a death cut off. */
  readonly lost: number
  readonly max: number
  readonly tools: number
  readonly crashes: number
}

type OutsideEvent = {
  type:
    | 'prompt'
    | 'answer'
    | 'ask for a tool'
    | 'ask for what needs approval'
    | 'fail'
    | 'approve'
    | 'deny'
    | 'edit'
    | 'settle'
    | 'throw'
    | 'settle by hand'
    | 'execute again'
    | 'extend'
    | 'stop'
    | 'interrupt'
    | 'cancel'
    | 'crash'
}

const MAX_STEPS = 2
const says = (letter: string) =>
  assign<Expected, OutsideEvent, undefined, OutsideEvent, never>({ roles: ({ context }) => context.roles + letter })

const outside = setup({
  types: { context: {} as Expected, events: {} as OutsideEvent },
  guards: {
    mayCrash: ({ context }) => context.crashes < 1,
    mayAsk: ({ context }) => context.tools < 2,
    isLimited: ({ context }) => context.spent >= context.max,
  },
  actions: {
    user: says('u'),
    assistant: says('a'),
    result: says('t'),
    count: assign({ spent: ({ context }) => context.spent + 1 + context.lost, lost: 0 }),
    ask: assign({ tools: ({ context }) => context.tools + 1 }),
    execute: assign({ executed: ({ context }) => context.executed + 1 }),
    crash: assign({ crashes: ({ context }) => context.crashes + 1 }),
    lose: assign({ lost: ({ context }) => context.lost + 1 }),
    extend: assign({ max: ({ context }) => context.max + MAX_STEPS }),
  },
}).createMachine({
  id: 'outside',
  context: { roles: '', executed: 0, spent: 0, lost: 0, max: MAX_STEPS, tools: 0, crashes: 0 },
  initial: 'ready',
  states: {
    ready: { on: { prompt: { guard: ({ context }) => context.roles === '', target: 'next', actions: 'user' } } },
    next: { always: [{ guard: 'isLimited', target: 'limited' }, { target: 'asking' }] },
    asking: {
      on: {
        answer: { target: 'ready', actions: ['assistant', 'count'] },
        'ask for a tool': { guard: 'mayAsk', target: 'working', actions: ['assistant', 'count', 'ask', 'execute'] },
        'ask for what needs approval': { guard: 'mayAsk', target: 'approving', actions: ['assistant', 'count', 'ask'] },
        fail: 'failed',
        crash: { guard: 'mayCrash', actions: ['crash', 'lose'] },
        cancel: 'cancelled',
      },
    },
    approving: {
      on: {
        approve: { target: 'working', actions: 'execute' },
        edit: { target: 'working', actions: 'execute' },
        deny: { target: 'next', actions: 'result' },
        interrupt: { target: 'next', actions: ['result', 'user'] },
        crash: { guard: 'mayCrash', actions: 'crash' },
        cancel: 'cancelled',
      },
    },
    working: {
      on: {
        settle: { target: 'next', actions: 'result' },
        throw: { target: 'next', actions: 'result' },
        interrupt: { target: 'next', actions: ['result', 'user'] },
        crash: { guard: 'mayCrash', target: 'doubting', actions: 'crash' },
        cancel: 'cancelled',
      },
    },
    doubting: {
      on: {
        'settle by hand': { target: 'next', actions: 'result' },
        'execute again': { target: 'working', actions: 'execute' },
        interrupt: { target: 'next', actions: ['result', 'user'] },
        cancel: 'cancelled',
      },
    },
    limited: {
      on: {
        extend: { target: 'next', actions: 'extend' },
        stop: 'failed',
        crash: { guard: 'mayCrash', actions: 'crash' },
        cancel: 'cancelled',
      },
    },
    failed: { on: { crash: { guard: 'mayCrash', actions: 'crash' } } },
    cancelled: { on: { crash: { guard: 'mayCrash', actions: 'crash' } } },
  },
})

type OutsideState = SnapshotFrom<typeof outside>

/** What the agent's machine is in, and what waits for a person. */
const seen: Readonly<Record<string, readonly [value: string | undefined, pending: readonly string[]]>> = {
  ready: ['ready', []],
  asking: ['thinking', []],
  approving: ['acting', ['approval']],
  working: ['acting', []],
  doubting: ['acting', ['doubt']],
  limited: ['limited', ['limit']],
  failed: ['failed', []],
  cancelled: [undefined, []],
}

const toAnswer = (content: string, text?: string): ModelAnswer => ({
  message: {
    role: 'assistant',
    content,
    toolCalls: text === undefined ? [] : [{ id: 'c', name: 'work', arguments: JSON.stringify({ text }) }],
  },
  usage: undefined,
  costUsd: 0,
  model: 'm',
  responseId: undefined,
})

/** A durable agent, of which the model and the tool do as they are told. */
async function createScene() {
  const image = await createImage()
  const clock = testClock()
  let request: PromiseWithResolvers<ModelAnswer> | undefined
  let execution: PromiseWithResolvers<string> | undefined
  const executed: string[] = []
  const model: Model = (_, { signal }) => {
    const asked = Promise.withResolvers<ModelAnswer>()
    request = asked
    signal.addEventListener('abort', () => asked.reject(signal.reason))
    return asked.promise
  }
  const work = tool({
    name: 'work',
    description: 'Works',
    input: z.object({ text: z.string() }),
    effect: 'external',
    onDoubt: 'ask',
    approval: ({ text }) => text === 'risky',
    async run({ text }, { signal }) {
      executed.push(text)
      const begun = Promise.withResolvers<string>()
      execution = begun
      signal.addEventListener('abort', () => begun.reject(signal.reason))
      return begun.promise
    },
  })
  const profile = {
    name: 'agent',
    systemPrompt: '',
    model: 'm',
    allowedTools: ['work'],
    limits: { steps: MAX_STEPS },
    onLimit: 'ask',
  } as const
  const { machine } = buildAgent(profile, { model, tools: [work] })
  const live = () => openLife(image.open(), { machine, clock, inspect: () => {} })
  let life = await live()
  const run = () => life.runtime.get<Agent['machine']>('chat')
  const readPending = async (): Promise<Pending[]> => {
    const found: Pending[] = []
    for await (const one of life.runtime.pending()) found.push(one)
    return found
  }
  const reply = async (value: unknown): Promise<void> => {
    const [question, ...others] = await readPending()
    assert.ok(question !== undefined && others.length === 0, 'one question waits')
    await run().answer(question.id, value)
  }
  const acts: Readonly<Record<OutsideEvent['type'], () => unknown>> = {
    prompt: () => run().send({ type: 'prompt', text: 'Go' }),
    answer: () => request?.resolve(toAnswer('Done.')),
    'ask for a tool': () => request?.resolve(toAnswer('', 'safe')),
    'ask for what needs approval': () => request?.resolve(toAnswer('', 'risky')),
    fail: () => request?.reject(new Error('no luck')),
    approve: () => reply(true),
    deny: () => reply({ approved: false, reason: 'too much' }),
    edit: () => reply({ approved: true, arguments: { text: 'edited' } }),
    settle: () => execution?.resolve('worked'),
    throw: () => execution?.reject(new Error('broken')),
    'settle by hand': () => reply({ result: 'seen' }),
    'execute again': () => reply({ retry: true }),
    extend: () => reply({ extend: { steps: MAX_STEPS } }),
    stop: () => reply({ stop: true }),
    interrupt: () => run().send({ type: 'interrupt', text: 'Wait' }),
    cancel: () => run().cancel('enough'),
    async crash() {
      life.die()
      life = await live()
    },
  }
  await life.runtime.start(machine, { id: 'chat' })
  return {
    async act({ type }: OutsideEvent): Promise<void> {
      await acts[type]()
      await life.rest()
    },
    async check({ value, context }: OutsideState): Promise<void> {
      const [state, pending] = seen[value] ?? []
      const snapshot = await run().snapshot()
      const roles = snapshot.context.messages.map(({ role }) => role[0]).join('')
      if (state !== undefined) assert.equal(snapshot.value, state)
      else await assert.rejects(run().done(), (error) => isPerdureError(error, 'RUN_CANCELLED'))
      assert.deepEqual(
        (await readPending()).map(({ kind }) => kind),
        pending,
      )
      assert.equal(executed.length, context.executed, `executed: ${executed}`)
      // The results of a round come into the conversation together, when the next request is made.
      if (value === 'asking' || value === 'ready') assert.equal(roles, context.roles)
    },
    close: () => life.close(),
  }
}

describe('an agent with an outside that does anything', () => {
  const isWhole = process.env.PERDURE_EVERY_PATH !== undefined
  // One path to each state by each transition that comes to it. None is the beginning of another.
  const model = createTestModel(outside, { filterEvents: (state, event) => state.can(event) })
  const paths = model.getShortestPaths().filter((_, index) => isWhole || index % 4 === 0)

  test('comes to what is expected on the paths', { timeout: 600_000 }, async () => {
    assert.ok(paths.length > 100)
    for (const { steps } of paths) {
      const scene = await createScene()
      const done: string[] = []
      try {
        for (const { event, state } of steps.slice(1)) {
          done.push(event.type)
          await scene.act(event)
          await scene.check(state)
        }
      } catch (error) {
        throw new Error(`After ${done.join(', ')}: ${toMessage(error)}`, { cause: error })
      } finally {
        await scene.close()
      }
    }
  })
})
