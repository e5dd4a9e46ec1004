/** Conversations outside of a flow: what is asked again comes from the store, what is new is appended, and ids are exactly once. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isPerdureError, openMemoryStore, openRuntime, type Runtime, type Session } from 'perdure'
import { type Script, scriptedModel } from 'perdure/testing'
import {
  createRuntimeRoom,
  lastPrompt,
  noteRounds,
  noteTool,
  type RuntimeRoom,
  testAgent,
  toOutline,
} from '../support/runtime-room.ts'

describe('a session', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** The prompts that the model sees, joined. */
  const history: Script = ({ messages }) => messages.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).join(' ')

  const open = async (directory: string, script: Script = history, id = 'main') => {
    const runtime = await room.open(directory)
    const model = scriptedModel(script)
    const agent = runtime.durable(testAgent(model))
    return { runtime, model, agent, session: agent.session(id) }
  }
  const say = async (session: Session, ...prompts: readonly string[]) => {
    const outputs: string[] = []
    for (const prompt of prompts) outputs.push((await session.run(prompt)).output)
    return outputs
  }

  test('that is asked the same again after a restart answers from the store, and goes on after that', async () => {
    const directory = room.room.path()
    const first = await open(directory)
    assert.deepEqual(await say(first.session, 'a', 'b'), ['a', 'a b'])
    await first.runtime.close()
    const second = await open(directory)
    assert.deepEqual(await say(second.session, 'a', 'b', 'c'), ['a', 'a b', 'a b c'])
    assert.equal(second.model.calls, 1)
    assert.deepEqual(toOutline(second.runtime.events), ['default reused', 'default_2 reused', 'default_3 new'])
    await second.runtime.close()
  })

  test('appends the first prompt that differs, and everything after it', async () => {
    const directory = room.room.path()
    const first = await open(directory)
    await say(first.session, 'a', 'b', 'c')
    await first.runtime.close()
    const second = await open(directory)
    assert.deepEqual(await say(second.session, 'a', 'x', 'c', 'b'), ['a', 'a b c x', 'a b c x c', 'a b c x c b'])
    await second.runtime.close()
  })

  test('goes on with a turn that was cut off when it is asked again', async () => {
    const directory = room.room.path()
    const { note, notes } = noteTool()
    const start = async (script: Script) => {
      const runtime = await room.open(directory)
      const model = scriptedModel(script)
      return { runtime, model, session: runtime.durable(testAgent(model, {}, [note])).session('main') }
    }
    const asked = Promise.withResolvers<void>()
    const rounds = noteRounds(2)
    const first = await start((request) => {
      if (request.messages.length < 3) return rounds(request)
      asked.resolve()
      return { text: 'never', fault: 'hang' }
    })
    const cut = first.session.run('go')
    cut.catch(() => {})
    await asked.promise
    await first.runtime.close()
    await assert.rejects(cut, { code: 'ABORTED' })

    const second = await start(rounds)
    const { output, spend } = await second.session.run('go')
    assert.equal(output, 'noted go 1, noted go 2')
    assert.deepEqual(notes, ['go 1', 'go 2'])
    assert.equal(second.model.calls, 2)
    assert.equal(spend.modelCalls, 4) // with the one that was cut off
    assert.deepEqual(toOutline(second.runtime.events), ['default resumed'])
    await second.runtime.close()
  })

  test('finishes a turn that was cut off before it takes another prompt', async () => {
    const directory = room.room.path()
    const asked = Promise.withResolvers<void>()
    const first = await open(directory, () => {
      asked.resolve()
      return { fault: 'hang' }
    })
    const cut = assert.rejects(first.session.run('a'), { code: 'ABORTED' })
    await asked.promise
    await first.runtime.close()
    await cut
    const second = await open(directory)
    assert.deepEqual(await say(second.session, 'b'), ['a b'])
    assert.deepEqual(toOutline(second.runtime.events), ['default resumed', 'default_2 new'])
    await second.runtime.close()
  })

  test('a turn that was cut off and fails when it is finished does not take the new prompt with it', async () => {
    const directory = room.room.path()
    const asked = Promise.withResolvers<void>()
    const first = await open(directory, () => {
      asked.resolve()
      return { fault: 'hang' }
    })
    const cut = assert.rejects(first.session.run('a'), { code: 'ABORTED' })
    await asked.promise
    await first.runtime.close()
    await cut
    const second = await open(directory, (request) =>
      lastPrompt(request) === 'a' ? { error: new Error('of its own kind') } : 'fine',
    )
    assert.deepEqual(await say(second.session, 'b'), ['fine'])
    await second.runtime.close()
  })

  for (const [situation, before] of [
    ['the first turn', []],
    ['a later turn', ['before']],
    ['a turn after the first that differs', ['other']],
  ] as const)
    test(`a failure of ${situation} is tried again when it is asked again`, async () => {
      const directory = room.room.path()
      const first = await open(directory)
      await say(first.session, 'before')
      await first.runtime.close()
      let fails = true
      const second = await open(directory, (request, call) => {
        if (lastPrompt(request) !== 'a' || !fails) return typeof history === 'function' ? history(request, call) : ''
        fails = false
        return { fault: { status: 503 } }
      })
      await say(second.session, ...before)
      await assert.rejects(second.session.run('a'), { code: 'MODEL_UNAVAILABLE' })
      const { output } = await second.session.run('a')
      assert.equal(output.match(/a/g)?.length, 1, output)
      assert.equal(toOutline(second.runtime.events).at(-1)?.split(' ')[1], 'retried')
      await second.runtime.close()
    })

  describe('whose turns have ids', () => {
    test('executes each id once, also over restarts and whatever the order', async () => {
      const directory = room.room.path()
      const first = await open(directory)
      await first.session.run('a', { id: '1' })
      await first.session.run('b', { id: '2' })
      assert.deepEqual((await first.session.run('a', { id: '1' })).output, 'a')
      await first.runtime.close()
      const second = await open(directory)
      assert.deepEqual((await second.session.run('b', { id: '2' })).output, 'a b')
      assert.deepEqual((await second.session.run('a', { id: '1' })).reused, true)
      assert.equal(second.model.calls, 0)
      assert.deepEqual((await second.session.run('c', { id: '3' })).turn, 3)
      await second.runtime.close()
    })

    test('lets go of what a turn has recorded, its id too: memory does not grow with the conversation', async () => {
      const store = await openMemoryStore()
      const read: string[] = []
      const get = store.get.bind(store)
      store.get = (key) => {
        read.push(key)
        return get(key)
      }
      const runtime = await openRuntime({ store, log: 'silent' })
      const session = runtime.durable(testAgent(scriptedModel(history))).session('main')
      for (const id of ['1', '2', '3']) await session.run(id, { id })
      read.length = 0
      assert.equal((await session.run('1', { id: '1' })).output, '1')
      const records = read.map((key) => key.split('/s/')[1]?.split('/')[0])
      assert.deepEqual(records, ['id', 'turn'])
      await runtime.close()
    })

    test('the same words with another id are another turn', async () => {
      const { session, runtime } = await open(room.room.path())
      assert.equal((await session.run('yes', { id: '1' })).output, 'yes')
      assert.equal((await session.run('yes', { id: '2' })).output, 'yes yes')
      await runtime.close()
    })

    test('a message that is delivered again after a crash is the turn that was cut off', async () => {
      const directory = room.room.path()
      const asked = Promise.withResolvers<void>()
      const first = await open(directory, () => {
        asked.resolve()
        return { fault: 'hang' }
      })
      const cut = assert.rejects(first.session.run('a', { id: '1' }), { code: 'ABORTED' })
      await asked.promise
      await first.runtime.close()
      await cut
      const second = await open(directory)
      const { output, turn } = await second.session.run('a', { id: '1' })
      assert.deepEqual([output, turn], ['a', 1])
      assert.deepEqual(
        [(await second.session.run('b', { id: '2' })).turn, (await second.session.run('a', { id: '1' })).turn],
        [2, 1],
      )
      await second.runtime.close()
    })

    test('a turn that was cut off and finished by the next one keeps its id', async () => {
      const directory = room.room.path()
      const asked = Promise.withResolvers<void>()
      const first = await open(directory, () => {
        asked.resolve()
        return { fault: 'hang' }
      })
      const cut = assert.rejects(first.session.run('a', { id: '1' }), { code: 'ABORTED' })
      await asked.promise
      await first.runtime.close()
      await cut
      const second = await open(directory)
      await second.session.run('b', { id: '2' })
      assert.equal((await second.session.run('a', { id: '1' })).output, 'a')
      assert.equal(second.model.calls, 2)
      await second.runtime.close()
    })

    test('are never matched by order', async () => {
      const directory = room.room.path()
      const first = await open(directory)
      await first.session.run('hello', { id: '1' })
      await first.session.run('plain')
      await first.runtime.close()
      const second = await open(directory)
      assert.equal((await second.session.run('plain')).reused, true)
      assert.equal((await second.session.run('hello')).output, 'hello plain hello')
      await second.runtime.close()
      const third = await open(directory)
      assert.equal((await third.session.run('new', { id: '2' })).output, 'hello plain hello new')
      assert.deepEqual(await say(third.session, 'plain', 'hello'), ['hello plain', 'hello plain hello'])
      assert.equal(third.model.calls, 1)
      await third.runtime.close()
    })
  })

  test('is one conversation, whoever asks for it', async () => {
    const { agent, runtime } = await open(room.room.path())
    const outputs = await Promise.all([agent.session('x').run('a'), agent.session('x').run('b'), agent.session('y').run('c')])
    assert.deepEqual(
      outputs.map(({ output, turn }) => [output, turn]),
      [
        ['a', 1],
        ['a b', 2],
        ['c', 1],
      ],
    )
    await runtime.close()
  })

  test('of another profile is another conversation', async () => {
    const { agent, runtime } = await open(room.room.path())
    const other = runtime.durable(testAgent(scriptedModel(history), { name: 'other' }))
    await agent.session('x').run('a')
    assert.equal((await other.session('x').run('b')).output, 'b')
    assert.equal(other.session('x').runId, 'other/x')
    await runtime.close()
  })

  test('is what an agent runs in outside of a flow', async () => {
    const directory = room.room.path()
    const first = await open(directory)
    await first.agent.run('a')
    await first.runtime.close()
    const second = await open(directory)
    assert.equal((await second.session.run('a')).reused, true)
    assert.equal((await second.agent.run('b')).output, 'a b')
    await second.runtime.close()
  })

  test('goes on with another agent object of the same profile', async () => {
    const { runtime, session } = await open(room.room.path())
    await session.run('a')
    const other = runtime.durable(testAgent(scriptedModel(history))).session('main')
    assert.equal((await other.run('b')).output, 'a b')
    assert.equal((await session.run('c')).output, 'a b c')
    await runtime.close()
  })

  test('ends a turn by its signal, keeps what had settled, and goes on when it is asked again', async () => {
    const settled = Promise.withResolvers<void>()
    const { note, notes } = noteTool((text, signal) => {
      if (text !== 'two' || notes.filter((other) => other === 'two').length > 1) return
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const runtime = await room.open()
    const model = scriptedModel(({ messages }) =>
      messages.some(({ role }) => role === 'tool')
        ? 'done'
        : { toolCalls: ['one', 'two'].map((text) => ({ name: 'note', arguments: { text } })) },
    )
    const session = runtime.durable(testAgent(model, {}, [note])).session('main')
    const abort = new AbortController()
    const run = session.run('go', { signal: abort.signal })
    runtime.subscribe(
      ({ type, ...event }) => type === 'call.settled' && 'kind' in event && event.kind === 'tool' && settled.resolve(),
    )
    await settled.promise
    abort.abort(new Error('enough'))
    await assert.rejects(run, (error) => isPerdureError(error, 'ABORTED'))
    assert.equal((await session.run('go')).output, 'done')
    assert.deepEqual(notes.toSorted(), ['one', 'two', 'two'])
    assert.equal(model.calls, 2)
    await runtime.close()
  })

  test('does not begin a turn whose signal has aborted', async () => {
    const { runtime, session, model } = await open(room.room.path())
    await assert.rejects(session.run('a', { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    assert.equal(model.calls, 0)
    assert.deepEqual(runtime.events, [])
    await runtime.close()
  })

  test('does not begin a turn whose signal aborts while its records are being read', async () => {
    const { runtime, session, model } = await open(room.room.path())
    const abort = new AbortController()
    const run = session.run('a', { signal: abort.signal })
    abort.abort()
    await assert.rejects(run, { code: 'ABORTED' })
    assert.equal(model.calls, 0)
    assert.equal((await session.run('a')).turn, 1)
    await runtime.close()
  })

  test('refuses prompts and ids that are none', async () => {
    const { agent, session, runtime } = await open(room.room.path())
    const wrong = undefined as unknown as string // what a caller without types may pass
    await assert.rejects(session.run(''), TypeError)
    await assert.rejects(session.run(wrong), TypeError)
    assert.throws(() => agent.session(''), { code: 'RUN_ID_INVALID' })
    assert.throws(() => agent.session(wrong), { code: 'RUN_ID_INVALID' })
    await runtime.close()
    assert.throws(() => agent.session('x'), { code: 'STORE_CLOSED' })
  })

  test('goes on when the runtime was closed while the end of a turn was being written', async () => {
    const directory = room.room.path()
    const first = await open(directory)
    const closed = Promise.withResolvers<void>()
    first.runtime.subscribe(({ type }) => {
      if (type === 'call.settled') queueMicrotask(() => closed.resolve(first.runtime.close()))
    })
    await first.session.run('a').catch((error: unknown) => assert.ok(isPerdureError(error, 'ABORTED')))
    await closed.promise
    const second = await open(directory)
    assert.deepEqual(await say(second.session, 'a', 'b'), ['a', 'a b'])
    assert.equal(second.model.calls, 1)
    await second.runtime.close()
  })

  test('waits for nothing when the runtime closes: turns that were waiting are not begun', async () => {
    const { runtime, session } = await open(room.room.path(), () => ({ fault: 'hang' }))
    const runs = ['a', 'b'].map((prompt) => session.run(prompt))
    const ends = Promise.allSettled(runs)
    const closed: Runtime = runtime
    await closed.close()
    for (const end of await ends) assert.ok(end.status === 'rejected' && isPerdureError(end.reason))
  })
})
