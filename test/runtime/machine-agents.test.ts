/** An agent is an ordinary user of the runtime: its machine is registered, started, sent prompts and taken up again like any other. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Agent } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { assign, sendTo, setup } from 'xstate'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { eventually } from '../support/processes.ts'
import { callNote, echo, noteRounds, noteTool, testAgent } from '../support/runtime-room.ts'

const forever = new Promise<void>(() => {})

/** What the conversation of a run says, without the calls. */
const toTexts = (messages: readonly { readonly role: string; readonly content: string }[]): string[] =>
  messages.map(({ role, content }) => `${role}: ${content}`)

describe('the machine of an agent', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  const ask = async (runtime: Awaited<ReturnType<MachineRoom['open']>>, id: string, text: string) => {
    const run = runtime.get<Agent['machine']>(id)
    await run.send({ type: 'prompt', text })
    return (await run.waitFor('settled')).context
  }

  test('is a run that takes prompts as events, across restarts', async () => {
    const directory = room.directory()
    const { note, notes } = noteTool()
    const model = scriptedModel(noteRounds(1))
    const agent = testAgent(model, {}, [note])
    const first = await room.open(directory, [agent.machine])
    await first.start(agent.machine, { id: 'chat' })
    const { messages } = await ask(first, 'chat', 'one')
    assert.deepEqual(toTexts(messages), ['user: one', 'assistant: ', 'tool: noted one 1', 'assistant: noted one 1'])
    await first.close()

    const second = await room.open(directory, [testAgent(model, {}, [note]).machine])
    const { messages: all, turn } = await ask(second, 'chat', 'two')
    assert.equal(all.length, 8)
    assert.equal(turn, 2)
    assert.equal(all.at(-1)?.content, 'noted two 1')
    assert.deepEqual(notes, ['one 1', 'two 1'])
    assert.equal(model.calls, 4)
    await second.get<Agent['machine']>('chat').send({ type: 'stop' })
    await second.get('chat').done()
    await rejectsWith(second.get<Agent['machine']>('chat').send({ type: 'prompt', text: 'three' }), 'RUN_ENDED')
    await second.close()
  })

  test('asks the model again after a restart if it was in the middle of a call, and only then', async () => {
    const directory = room.directory()
    const { note, notes } = noteTool()
    // The tool call has settled and the second request hangs.
    const hanging = scriptedModel([{ toolCalls: [callNote('a')] }, { fault: 'hang' }])
    const first = await room.open(directory, [testAgent(hanging, {}, [note]).machine])
    const run = await first.start<Agent['machine']>('default', { id: 'chat' })
    await run.send({ type: 'prompt', text: 'go' }, { id: 'message-1' })
    await eventually('the second request', () => hanging.calls === 2)
    await first.close()

    const model = scriptedModel(['the answer'])
    const second = await room.open(directory, [testAgent(model, {}, [note]).machine])
    const same = second.get<Agent['machine']>('chat')
    await same.send({ type: 'prompt', text: 'go' }, { id: 'message-1' }) // the sender does not know whether it arrived
    const { context, value } = await same.waitFor('settled')
    assert.equal(value, 'ready')
    assert.deepEqual(toTexts(context.messages), ['user: go', 'assistant: ', 'tool: noted a', 'assistant: the answer'])
    assert.deepEqual(notes, ['a'], 'the tool call that had settled is not executed again')
    assert.equal(model.calls, 1)
    model.done()
    await second.close()
    const started = second.events.filter((event) => event.type === 'call.started')
    assert.deepEqual(
      started.map(({ key, kind, attempt, inDoubt }) => [key, kind, attempt, inDoubt]),
      [['call/000001/m002', 'model', 2, true]],
    )
  })

  test('executes after a restart those of its tool calls that had not settled', async () => {
    const directory = room.directory()
    const calls = { toolCalls: ['a', 'b', 'c'].map((text) => callNote(text)) }
    const before = noteTool((text) => (text === 'b' ? undefined : forever))
    const first = await room.open(directory, [testAgent(scriptedModel([calls]), {}, [before.note]).machine])
    const run = await first.start<Agent['machine']>('default', { id: 'chat' })
    const one = run.waitFor(({ context }) => Object.keys(context.results).length === 1)
    await run.send({ type: 'prompt', text: 'go' })
    await one
    await eventually('all are executed', () => before.notes.length === 3)
    await first.close()

    const after = noteTool()
    const model = scriptedModel(['done'])
    const second = await room.open(directory, [testAgent(model, {}, [after.note]).machine])
    const { context } = await second.get<Agent['machine']>('chat').waitFor('ready')
    assert.deepEqual(toTexts(context.messages).slice(2), ['tool: noted a', 'tool: noted b', 'tool: noted c', 'assistant: done'])
    assert.deepEqual(after.notes.toSorted(), ['a', 'c'])
    assert.equal(model.calls, 1)
    await second.close()
  })

  test('that failed waits for a retry, also after a restart', async () => {
    const directory = room.directory()
    const first = await room.open(directory, [testAgent(scriptedModel([{ fault: { status: 400 } }])).machine])
    const run = await first.start<Agent['machine']>('default', { id: 'chat' })
    await run.send({ type: 'prompt', text: 'go' })
    assert.equal((await run.waitFor('failed')).context.error?.code, 'MODEL_BAD_REQUEST')
    await first.close()
    const second = await room.open(directory, [testAgent(scriptedModel(echo)).machine])
    const same = second.get<Agent['machine']>('chat')
    assert.equal((await same.snapshot()).value, 'failed')
    await same.send({ type: 'retry' })
    const { context } = await same.waitFor('ready')
    assert.equal(context.messages.at(-1)?.content, 'go!')
    assert.equal(context.error, undefined)
    await second.close()
  })

  test('is cancelled in the middle of a call, which is aborted', async () => {
    const aborted = Promise.withResolvers<void>()
    const { note, notes } = noteTool((_text, signal) => {
      signal.addEventListener('abort', () => aborted.resolve())
      return forever
    })
    const agent = testAgent(scriptedModel([{ toolCalls: [callNote('a')] }]), {}, [note])
    const runtime = await room.open(room.directory(), [agent.machine])
    const run = await runtime.start(agent.machine, { id: 'chat' })
    await run.send({ type: 'prompt', text: 'go' })
    await eventually('the call', () => notes.length === 1)
    await run.cancel('enough')
    await aborted.promise
    await rejectsWith(run.done(), 'RUN_CANCELLED')
    await runtime.close()
  })

  test('lives beside its sessions, which an inspector sees too', async () => {
    const agent = testAgent(scriptedModel(echo))
    const runtime = await room.open(room.directory(), [agent.machine])
    const seen = new Map<string, unknown>()
    runtime.inspect((event) => {
      if (event.type === '@xstate.snapshot' && 'value' in event.snapshot) seen.set(event.actorRef.sessionId, event.snapshot.value)
    })
    const { output } = await runtime.durable(agent).session('s').run('session')
    await runtime.start(agent.machine, { id: 'r' })
    const { messages } = await ask(runtime, 'r', 'run')
    assert.deepEqual([output, messages.at(-1)?.content], ['session!', 'run!'])
    assert.deepEqual(
      [...seen],
      [
        ['default/s', 'ready'],
        ['r', 'ready'],
      ],
    )
    // A session is not a run of a machine, and says so.
    await rejectsWith(runtime.get('default/s').send({ type: 'prompt', text: 'x' } as never), 'RUN_CONFLICT')
    await rejectsWith(runtime.start(agent.machine, { id: 'default/s' }), 'RUN_CONFLICT')
    await runtime.close()
  })

  /** Sends its agent a prompt and is done with what that answers. */
  const createParent = (agent: Agent) =>
    setup({
      types: { context: {} as { readonly answer: string }, output: {} as string },
      actors: { agent: agent.machine },
    }).createMachine({
      id: 'parent',
      context: { answer: '' },
      initial: 'asking',
      states: {
        asking: {
          entry: sendTo('helper', { type: 'prompt', text: 'go' }),
          invoke: {
            src: 'agent',
            id: 'helper',
            systemId: 'helper',
            onSnapshot: {
              guard: ({ event }) => event.snapshot.matches('ready') && event.snapshot.context.turn === 1,
              target: 'answered',
              actions: assign({ answer: ({ event }) => event.snapshot.context.messages.at(-1)?.content ?? '' }),
            },
          },
        },
        answered: { type: 'final' },
      },
      output: ({ context }) => context.answer,
    })

  test('is a child of a machine, and taken up with it in the middle of model and tool calls', async () => {
    const directory = room.directory()
    const before = noteTool((text) => (text === 'a' ? undefined : forever))
    const asking = scriptedModel([{ toolCalls: [callNote('a'), callNote('b')] }])
    const first = await room.open(directory, [createParent(testAgent(asking, {}, [before.note]))])
    await first.start('parent', { id: 'p' })
    await eventually('both calls', () => before.notes.length === 2)
    await eventually('a is recorded', () => first.events.some((event) => event.type === 'call.settled' && event.kind === 'tool'))
    await first.get('p').snapshot()
    await first.close()

    const between = noteTool()
    const hanging = scriptedModel([{ fault: 'hang' }])
    const second = await room.open(directory, [createParent(testAgent(hanging, {}, [between.note]))])
    await eventually('the model is asked', () => hanging.calls === 1)
    await second.close()
    assert.deepEqual(between.notes, ['b'])

    const never = noteTool()
    const model = scriptedModel(({ messages }) => messages.map(({ content }) => content).join('|'))
    const third = await room.open(directory, [createParent(testAgent(model, {}, [never.note]))])
    assert.equal(await third.get('p').done(), 'go||noted a|noted b')
    assert.deepEqual(never.notes, [])
    assert.equal(model.calls, 1)
    await third.close()
  })

  test('two agents are two machines, each of the name of its profile; two of the same name are refused', async () => {
    const create = () => ['one', 'two'].map((name) => testAgent(scriptedModel([name]), { name })) as [Agent, Agent]
    const [one, two] = create()
    await rejectsWith(room.open(room.directory(), [one.machine, one.machine]), 'MACHINE_DUPLICATE')
    const side = await room.open(
      room.directory(),
      create().map(({ machine }) => machine),
    )
    for (const name of ['one', 'two']) {
      const run = await side.start<Agent['machine']>(name, { id: name })
      await run.send({ type: 'prompt', text: 'go' })
      const { context } = await run.waitFor(({ context }) => context.messages.length === 2)
      assert.equal(context.messages[1]?.content, name)
    }
    await side.close()
    const machine = setup({
      types: { context: {} as { readonly answers: readonly string[] } },
      actors: { one: one.machine, two: two.machine },
    }).createMachine({
      id: 'both',
      context: { answers: [] },
      type: 'parallel',
      states: Object.fromEntries(
        (['one', 'two'] as const).map((name) => [
          name,
          {
            initial: 'asking',
            states: {
              asking: {
                entry: sendTo(name, { type: 'prompt', text: 'go' }),
                invoke: {
                  src: name,
                  id: name,
                  onSnapshot: {
                    guard: ({ event }) => event.snapshot.matches('ready') && event.snapshot.context.turn === 1,
                    target: 'over',
                    actions: assign({
                      answers: ({ context, event }) => [
                        ...context.answers,
                        event.snapshot.context.messages.at(-1)?.content ?? '',
                      ],
                    }),
                  },
                },
              },
              over: { type: 'final' },
            },
          } as const,
        ]),
      ),
      output: ({ context }) => context.answers.toSorted(),
    })
    const runtime = await room.open(room.directory(), [machine])
    const run = await runtime.start(machine, { id: 'x' })
    assert.deepEqual(await run.done(), ['one', 'two'])
    await runtime.close()
  })
})
