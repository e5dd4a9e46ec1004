/** The agent machine decides only: transition tables by XState's pure functions, then whole runs in a plain actor. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type AgentContext,
  type AgentEvent,
  agentMachine,
  type Message,
  type ModelAnswer,
  PerdureError,
  type ToolCall,
  type ToolMessage,
} from 'perdure'
import {
  type Actor,
  createActor,
  fromPromise,
  initialTransition,
  type SnapshotFrom,
  toPromise,
  transition,
  waitFor,
} from 'xstate'

type State = SnapshotFrom<typeof agentMachine>
interface ModelInput {
  readonly key: string
  readonly messages: readonly Message[]
}
interface ToolInput {
  readonly key: string
  readonly call: ToolCall
}

const answer = (content: string, ...calls: readonly string[]): ModelAnswer => ({
  message: { role: 'assistant', content, toolCalls: calls.map((id) => ({ id, name: 'note', arguments: '{}' })) },
  usage: undefined,
  costUsd: undefined,
  model: 'test',
  responseId: undefined,
})
const result = (callId: string, content = `result of ${callId}`): ToolMessage => ({
  role: 'tool',
  callId,
  name: 'note',
  content,
  isError: false,
})
const prompt = (text = 'Hello'): AgentEvent => ({ type: 'prompt', text })
const answered = (content: string, ...calls: readonly string[]) => ({
  type: 'xstate.done.actor.model',
  actorId: 'model',
  output: answer(content, ...calls),
})
const modelFailed = (error: unknown) => ({ type: 'xstate.error.actor.model', actorId: 'model', error })
const called = (id: string) => ({ type: `xstate.done.actor.call.${id}`, actorId: `call.${id}`, output: result(id) })
const callFailed = (id: string, error: unknown) => ({ type: `xstate.error.actor.call.${id}`, actorId: `call.${id}`, error })

/** The state after these events. Events of actors are none that a user may send: hence the cast. */
function after(...events: readonly { readonly type: string }[]): State {
  let [state] = initialTransition(agentMachine, { maxSteps: 2 })
  for (const event of events) [state] = transition(agentMachine, state, event as AgentEvent)
  return state
}

/** Each assistant's calls are followed by exactly their results. */
function assertValidHistory(messages: readonly Message[]): void {
  for (const [index, message] of messages.entries()) {
    if (message.role !== 'assistant') continue
    const ids = message.toolCalls.map(({ id }) => id)
    const results = messages.slice(index + 1, index + 1 + ids.length)
    assert.deepEqual(
      results.map((next) => (next.role === 'tool' ? next.callId : next.role)),
      ids,
    )
  }
}

const failure = new PerdureError('MODEL_UNAVAILABLE', 'no luck', { details: { attempts: 3 } })

const situations = {
  ready: [],
  thinking: [prompt()],
  acting: [prompt(), answered('', 'a', 'b')],
  'failed in thinking': [prompt(), modelFailed(failure)],
  'failed in acting': [prompt(), answered('', 'a', 'b'), called('b'), callFailed('a', failure)],
  'aborted in acting': [prompt(), answered('', 'a', 'b'), called('b'), { type: 'abort' }],
  'out of steps': [prompt(), answered('', 'a'), called('a'), answered('', 'b'), called('b')],
  done: [{ type: 'stop' }],
} as const

const table: Record<keyof typeof situations, Record<AgentEvent['type'], string>> = {
  ready: { prompt: 'thinking', retry: 'ready', abort: 'ready', stop: 'done' },
  thinking: { prompt: 'thinking', retry: 'thinking', abort: 'failed', stop: 'thinking' },
  acting: { prompt: 'acting', retry: 'acting', abort: 'failed', stop: 'acting' },
  'failed in thinking': { prompt: 'thinking', retry: 'thinking', abort: 'failed', stop: 'done' },
  'failed in acting': { prompt: 'thinking', retry: 'acting', abort: 'failed', stop: 'done' },
  'aborted in acting': { prompt: 'thinking', retry: 'acting', abort: 'failed', stop: 'done' },
  'out of steps': { prompt: 'thinking', retry: 'failed', abort: 'failed', stop: 'done' },
  done: { prompt: 'done', retry: 'done', abort: 'done', stop: 'done' },
}

describe('the agent machine, event by event', () => {
  for (const [situation, row] of Object.entries(table))
    for (const [type, target] of Object.entries(row))
      test(`goes from ${situation} at ${type} to ${target}`, () => {
        const before = after(...situations[situation as keyof typeof situations]) // keys of the table
        const event = type === 'prompt' ? prompt('Next') : { type }
        const [state] = transition(agentMachine, before, event as AgentEvent) // types of the table
        assert.equal(state.value, target)
        if (state.value === 'thinking') assertValidHistory(state.context.messages)
      })

  test('an event that a state does not take leaves its context as it was', () => {
    const thinking = after(prompt())
    const [state] = transition(agentMachine, thinking, prompt('Again'))
    assert.deepEqual(state.context, thinking.context)
  })

  test('an answer without calls ends the turn', () => {
    const state = after(prompt(), answered('Hi.'))
    assert.equal(state.value, 'ready')
    assert.ok(state.hasTag('settled'))
    assert.deepEqual(
      state.context.messages.map(({ role, content }) => [role, content]),
      [
        ['user', 'Hello'],
        ['assistant', 'Hi.'],
      ],
    )
  })

  test('results are appended in the order in which they were asked for, whatever the order in which they come', () => {
    const state = after(prompt(), answered('', 'a', 'b', 'c'), called('c'), called('a'), called('b'))
    assert.equal(state.value, 'thinking')
    assert.deepEqual(
      state.context.messages.flatMap((message) => (message.role === 'tool' ? [message.callId] : [])),
      ['a', 'b', 'c'],
    )
    assert.deepEqual(state.context.results, {})
  })

  test('it acts until the last result is there', () => {
    const state = after(prompt(), answered('', 'a', 'b'), called('b'))
    assert.equal(state.value, 'acting')
    assert.deepEqual(Object.keys(state.context.results), ['b'])
  })

  test('ids of calls may be any text', () => {
    const ids = ['a.b', '*', '__proto__', 'constructor', 'ü/%20', '']
    const state = after(prompt(), answered('', ...ids), ...ids.toReversed().map(called))
    assert.equal(state.value, 'thinking')
    assert.deepEqual(
      state.context.messages.flatMap((message) => (message.role === 'tool' ? [message.callId] : [])),
      ids,
    )
  })

  test('a turn may ask the model maxSteps times', () => {
    const { value, context } = after(...situations['out of steps'])
    assert.equal(value, 'failed')
    assert.equal(context.error?.code, 'MAX_STEPS')
    assert.deepEqual(context.error?.details, { maxSteps: 2, turn: 1 })
  })

  test('a turn that is out of steps goes on once it has more, without asking anything again', () => {
    const before = after(...situations['out of steps'])
    const [state] = transition(agentMachine, before, { type: 'retry', maxSteps: 3 })
    assert.equal(state.value, 'thinking')
    assert.equal(state.context.step, 3)
    assert.deepEqual(state.context.messages, before.context.messages)
  })

  test('a request that failed is not counted, so that its retry has the same key', () => {
    // The snapshot of a model actor holds its input.
    const key = ({ children }: State): unknown => (children.model?.getSnapshot() as { input: ModelInput } | undefined)?.input.key
    const first = after(prompt())
    const [again] = transition(agentMachine, after(prompt(), modelFailed(failure)), { type: 'retry' })
    assert.equal(first.context.step, 1)
    assert.equal(again.context.step, 1)
    assert.equal(key(again), key(first))
  })

  test('the error of a turn is kept as data', () => {
    assert.deepEqual(after(prompt(), modelFailed(failure)).context.error, {
      code: 'MODEL_UNAVAILABLE',
      message: 'no luck',
      details: { attempts: 3 },
    })
    assert.deepEqual(after(prompt(), modelFailed('text')).context.error, { code: 'CALL_FAILED', message: 'text', details: {} })
    assert.equal(after(prompt(), { type: 'abort' }).context.error?.code, 'ABORTED')
  })

  test('a retry in acting executes only the calls that have no result', () => {
    const [state] = transition(agentMachine, after(...situations['failed in acting']), { type: 'retry' })
    assert.deepEqual(Object.keys(state.children), ['call.a'])
    assert.equal(state.context.error, undefined)
  })

  test('a prompt after a failed turn tells the model of the results that there are and of those that are missing', () => {
    const [state] = transition(agentMachine, after(...situations['failed in acting']), prompt('Next'))
    assert.deepEqual(
      state.context.messages.map((message) => (message.role === 'tool' ? [message.callId, message.content] : message.role)),
      ['user', 'assistant', ['a', 'This call was interrupted. Its outcome is not known.'], ['b', 'result of b'], 'user'],
    )
    assert.equal(state.context.turnStart, 4, 'the turn begins with its own prompt')
    assert.equal(state.context.turn, 2)
  })

  test('a late result of a call that was ended is ignored', () => {
    const aborted = after(...situations['aborted in acting'])
    const [state] = transition(agentMachine, aborted, called('a') as unknown as AgentEvent) // what XState may still deliver
    assert.deepEqual(state.context, aborted.context)
  })

  test('its states say what they are', () => {
    for (const [name, { description }] of Object.entries(agentMachine.root.states)) assert.ok(description, name)
    const tags = (state: State): string[] => [...state.tags].sort()
    assert.deepEqual(tags(after()), ['idle', 'settled'])
    assert.deepEqual(tags(after(prompt())), ['busy'])
    assert.deepEqual(tags(after(...situations.acting)), ['busy'])
    assert.deepEqual(tags(after(...situations['failed in acting'])), ['idle', 'settled'])
    assert.deepEqual(tags(after({ type: 'stop' })), ['settled'])
  })
})

describe('the agent machine in a plain actor', () => {
  const build = (
    answers: readonly (ModelAnswer | Error)[],
    run: (id: string) => Promise<ToolMessage> = async (id) => result(id),
  ) => {
    let asked = 0
    const keys: string[] = []
    return {
      keys,
      machine: agentMachine.provide({
        actors: {
          model: fromPromise<ModelAnswer, ModelInput>(async ({ input }) => {
            keys.push(input.key)
            const next = answers[asked++]
            if (next === undefined) throw new Error('asked too often')
            if (next instanceof Error) throw next
            return next
          }),
          tool: fromPromise<ToolMessage, ToolInput>(({ input }) => {
            keys.push(input.key)
            return run(input.call.id)
          }),
        },
      }),
    }
  }
  const settled = (actor: Actor<typeof agentMachine>): Promise<State> => waitFor(actor, (state) => state.hasTag('settled'))

  test('runs turn after turn', async () => {
    const { machine, keys } = build([answer('', 'a', 'b'), answer('one'), answer('two')])
    const actor = createActor(machine, { input: {} }).start()
    actor.send(prompt('First'))
    await settled(actor)
    actor.send(prompt('Second'))
    const { context } = await settled(actor)
    assertValidHistory(context.messages)
    assert.equal(context.messages.at(-1)?.content, 'two')
    assert.deepEqual(keys, [
      'call/000001/m001',
      'call/000001/m001/a',
      'call/000001/m001/b',
      'call/000001/m002',
      'call/000002/m001',
    ])
    actor.send({ type: 'stop' })
    await toPromise(actor)
    assert.equal(actor.getSnapshot().status, 'done')
  })

  test('a slot that nobody filled fails the turn and says so', async () => {
    const actor = createActor(agentMachine, { input: {} }).start()
    actor.send(prompt())
    const { value, context } = await settled(actor)
    assert.equal(value, 'failed')
    assert.match(context.error?.message ?? '', /actor `model` of the agent machine/)
  })

  test('a snapshot of the middle of acting goes on where it was', async () => {
    const held = Promise.withResolvers<ToolMessage>()
    const first = build([answer('', 'a', 'b')], (id) => (id === 'a' ? Promise.resolve(result('a')) : held.promise))
    const actor = createActor(first.machine, { input: {} }).start()
    actor.send(prompt())
    await waitFor(actor, ({ context }) => 'a' in context.results)
    const snapshot = JSON.parse(JSON.stringify(actor.getPersistedSnapshot()))
    actor.stop()

    const second = build([answer('both')])
    const restored = createActor(second.machine, { snapshot, input: {} }).start()
    const { context } = await settled(restored)
    assert.deepEqual(second.keys, ['call/000001/m001/b', 'call/000001/m002'])
    assert.deepEqual(
      context.messages.map(({ content }) => content),
      ['Hello', '', 'result of a', 'result of b', 'both'],
    )
  })

  test('goes on from messages that it is given', async () => {
    const messages: Message[] = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello', toolCalls: [] },
    ]
    const { machine } = build([answer('fine')])
    const actor = createActor(machine, { input: { messages, turn: 1 } }).start()
    actor.send(prompt('How are you?'))
    const { context }: { context: AgentContext } = await settled(actor)
    assert.equal(context.turn, 2)
    assert.equal(context.turnStart, 2)
    assert.equal(context.messages.length, 4)
  })
})
