/** The agent machine decides only: transition tables by XState's pure functions, then whole runs in a plain actor. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type AgentContext,
  type AgentEvent,
  agentMachine,
  isPerdureError,
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

const texts = ({ context }: State): string[] => context.messages.map(({ role, content }) => `${role} ${content}`)

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
  ready: { prompt: 'thinking', steer: 'thinking', interrupt: 'thinking', retry: 'ready', abort: 'ready', stop: 'done' },
  thinking: {
    prompt: 'thinking',
    steer: 'thinking',
    interrupt: 'thinking',
    retry: 'thinking',
    abort: 'failed',
    stop: 'thinking',
  },
  acting: { prompt: 'acting', steer: 'acting', interrupt: 'thinking', retry: 'acting', abort: 'failed', stop: 'acting' },
  'failed in thinking': {
    prompt: 'thinking',
    steer: 'thinking',
    interrupt: 'thinking',
    retry: 'thinking',
    abort: 'failed',
    stop: 'done',
  },
  'failed in acting': {
    prompt: 'thinking',
    steer: 'thinking',
    interrupt: 'thinking',
    retry: 'acting',
    abort: 'failed',
    stop: 'done',
  },
  'aborted in acting': {
    prompt: 'thinking',
    steer: 'thinking',
    interrupt: 'thinking',
    retry: 'acting',
    abort: 'failed',
    stop: 'done',
  },
  'out of steps': {
    prompt: 'thinking',
    steer: 'thinking',
    interrupt: 'thinking',
    retry: 'failed',
    abort: 'failed',
    stop: 'done',
  },
  done: { prompt: 'done', steer: 'done', interrupt: 'done', retry: 'done', abort: 'done', stop: 'done' },
}

describe('the agent machine, event by event', () => {
  for (const [situation, row] of Object.entries(table))
    for (const [type, target] of Object.entries(row))
      test(`goes from ${situation} at ${type} to ${target}`, () => {
        const before = after(...situations[situation as keyof typeof situations]) // keys of the table
        const event = { type, text: 'Next' }
        const [state] = transition(agentMachine, before, event as AgentEvent) // types of the table
        assert.equal(state.value, target)
        if (state.value === 'thinking') assertValidHistory(state.context.messages)
      })

  test('an event that a state does not take leaves its context as it was', () => {
    const thinking = after(prompt())
    const [state] = transition(agentMachine, thinking, { type: 'retry' })
    assert.deepEqual(state.context, thinking.context)
  })

  test('a prompt while a turn is under way is the turn after it', () => {
    const state = after(prompt('One'), prompt('Two'), prompt('Three'), answered('1'), answered('2'))
    assert.deepEqual([state.value, state.context.turn], ['thinking', 3])
    assert.deepEqual(texts(state), ['user One', 'assistant 1', 'user Two', 'assistant 2', 'user Three'])
  })

  test('a message that steers joins before the next request, and an answer without it is not the last', () => {
    const steer = (text: string) => ({ type: 'steer', text })
    const acting = after(prompt(), answered('', 'a'), steer('left'), called('a'))
    assert.deepEqual(texts(acting), ['user Hello', 'assistant ', 'tool result of a', 'user left'])
    const late = after(prompt(), steer('right'), answered('Hi.'))
    assert.deepEqual([late.value, late.context.turn], ['thinking', 1])
    assert.deepEqual(texts(late), ['user Hello', 'assistant Hi.', 'user right'])
  })

  test('an interrupt ends what is under way, says so of each call that had not settled, and goes on with its message', () => {
    const interrupt = { type: 'interrupt', text: 'Stop' }
    const state = after(prompt(), answered('', 'a', 'b'), called('b'), interrupt)
    assert.equal(state.value, 'thinking')
    assert.deepEqual(Object.keys(state.children), ['model'])
    assertValidHistory(state.context.messages)
    assert.match(texts(state).join('|'), /tool This call was interrupted.*\|tool result of b\|user Stop$/)
    const asked = after(prompt(), interrupt)
    assert.deepEqual([asked.value, asked.context.step], ['thinking', 2])
  })

  test('no more calls are executed at once than may be, and each of them is', () => {
    let state = after({ type: 'prompt', text: 'Hello', maxParallel: 2 } as AgentEvent, answered('', 'a', 'b', 'c', 'd'))
    const running = () => Object.keys(state.children).sort()
    assert.deepEqual(running(), ['call.a', 'call.b'])
    const seen = running()
    for (const id of ['b', 'a', 'c', 'd']) {
      ;[state] = transition(agentMachine, state, called(id) as unknown as AgentEvent)
      if (state.value === 'acting') assert.ok(running().length <= 2)
      seen.push(...running())
    }
    assert.equal(state.value, 'thinking')
    assert.deepEqual([...new Set(seen)].sort(), ['call.a', 'call.b', 'call.c', 'call.d', 'model'])
    assertValidHistory(state.context.messages)
  })

  describe('with approvals', () => {
    const guarded = agentMachine.provide({ guards: { needsApproval: (_, { id }) => id === 'a' } })
    const decided = (id: string, output: object) => ({
      type: `xstate.done.actor.approval.${id}`,
      actorId: `approval.${id}`,
      output,
    })
    const run = (...events: readonly { readonly type: string }[]): State => {
      let [state] = initialTransition(guarded, {})
      for (const event of events) [state] = transition(guarded, state, event as AgentEvent)
      return state
    }
    const asked = [prompt(), answered('', 'a', 'b')]

    test('a call waits for a person while the others run', () => {
      assert.deepEqual(Object.keys(run(...asked).children).sort(), ['approval.a', 'call.b'])
    })

    test('an approved call runs, with the arguments that were approved', () => {
      const state = run(...asked, decided('a', { approved: true, arguments: '{"x":1}' }))
      assert.deepEqual(Object.keys(state.children).sort(), ['call.a', 'call.b'])
      assert.equal(state.context.approved?.a, '{"x":1}')
    })

    test('a denied call does not run, and the model is told why', () => {
      const state = run(...asked, decided('a', { approved: false, reason: 'too much' }), called('b'))
      assert.equal(state.value, 'thinking')
      assert.match(
        texts(state).join('|'),
        /tool A person denied this call of `note`\. It was not executed\. The reason: too much\|/,
      )
    })

    test('an abort withdraws the question', () => {
      const state = run(...asked, { type: 'abort' })
      assert.deepEqual([state.value, Object.keys(state.children)], ['failed', []])
    })
  })

  describe('with limits', () => {
    const costly = (content: string, ...calls: readonly string[]) => ({
      ...answered(content, ...calls),
      output: {
        ...answer(content, ...calls),
        usage: { inputTokens: 60, outputTokens: 40, cachedInputTokens: 0, reasoningTokens: 0 },
        costUsd: 1,
      },
    })
    const limited = (limits: object, onLimit = 'fail') => ({ type: 'prompt', text: 'Hello', maxSteps: 9, limits, onLimit })

    for (const [name, limits] of Object.entries({ steps: { steps: 1 }, tokens: { tokens: 100 }, costUsd: { costUsd: 1 } }))
      test(`a turn that has used what it may fails before the next request (${name})`, () => {
        const state = after(limited(limits), costly('', 'a'), called('a'))
        assert.equal(state.value, 'failed')
        assert.equal(state.context.error?.code, 'LIMIT_REACHED')
        assert.deepEqual([state.context.error?.details.limit, state.context.error?.details.scope], [name, 'turn'])
        assertValidHistory(state.context.messages)
      })

    test('a turn that fits is not limited, and the next one has what it may anew', () => {
      const state = after(limited({ steps: 1 }), costly('Hi.'), limited({ steps: 1 }))
      assert.equal(state.value, 'thinking')
    })

    test('the limits of all turns are those of all turns', () => {
      const event = { type: 'prompt', text: 'Hello', runLimits: { tokens: 100 } }
      const state = after(event, costly('Hi.'), event)
      assert.deepEqual([state.value, state.context.error?.details.scope], ['failed', 'run'])
    })

    test('time that is up ends what is under way', () => {
      const up = { type: 'limit.time', scope: 'turn', max: 5 }
      const thinking = after(limited({ wallTimeMs: 5 }), up)
      assert.deepEqual([thinking.value, thinking.context.error?.details.limit], ['failed', 'wallTimeMs'])
      const acting = after(limited({ wallTimeMs: 5 }), costly('', 'a'), up)
      assert.deepEqual([acting.value, Object.keys(acting.children)], ['failed', []])
    })

    test('a price that is not known cannot be limited', () => {
      const state = after(limited({ costUsd: 9 }), answered('', 'a'), called('a'))
      assert.equal(state.context.error?.code, 'PRICE_UNKNOWN')
    })

    test('a person may extend it: it goes on where it was', () => {
      const waiting = [limited({ tokens: 100 }, 'ask'), costly('', 'a'), called('a')]
      assert.equal(after(...waiting).value, 'limited')
      const decided = (output: object) => ({ type: 'xstate.done.actor.limit', actorId: 'limit', output })
      const extended = after(...waiting, decided({ extend: { tokens: 50 } }))
      assert.deepEqual([extended.value, extended.context.limits?.tokens, extended.context.step], ['thinking', 150, 2])
      const stopped = after(...waiting, decided({ stop: true }))
      assert.deepEqual([stopped.value, stopped.context.error?.code], ['failed', 'LIMIT_REACHED'])
    })
  })

  test('begun with a prompt, it ends with the answer to it, or fails as the turn did', async () => {
    const [begun] = initialTransition(agentMachine, { prompt: 'Hello' })
    assert.equal(begun.value, 'thinking')
    const [ended] = transition(agentMachine, begun, answered('Hi.') as unknown as AgentEvent)
    assert.deepEqual([ended.status, ended.output?.output], ['done', 'Hi.'])
    const actor = createActor(agentMachine.provide({ actors: { model: fromPromise(() => Promise.reject(failure)) } }), {
      input: { prompt: 'Hello' },
    })
    const failed = Promise.withResolvers<unknown>()
    actor.subscribe({ error: failed.resolve })
    actor.start()
    assert.ok(isPerdureError(await failed.promise, failure.code))
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
