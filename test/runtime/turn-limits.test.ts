import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Profile, tool } from 'perdure'
import { type ScriptedAnswer, scriptedModel, testClock } from 'perdure/testing'
import { z } from 'zod'
import { readPending } from '../support/pending-list.ts'
import { eventually } from '../support/processes.ts'
import { callNote, createRuntimeRoom, noteRounds, noteTool, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

const usage = { inputTokens: 60, outputTokens: 40, cachedInputTokens: 0, reasoningTokens: 0 }
const priced = (answer: ScriptedAnswer): ScriptedAnswer => ({ ...answer, usage, costUsd: 1 })

describe('the limits of a turn', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const open = async (directory: string, profile: Partial<Profile>) => {
    const { note, notes } = noteTool()
    const rounds = noteRounds(3)
    const model = scriptedModel((request) => priced(rounds(request)))
    const runtime = await room.open(directory)
    const session = runtime.durable(testAgent(model, profile, [note])).session('s')
    return { runtime, session, model, notes }
  }

  test('are named when they are reached, and what had settled is kept', async () => {
    const directory = room.room.path()
    const first = await open(directory, { limits: { tokens: 200 } })
    await assert.rejects(first.session.run('go'), (error: { code?: string; details?: object }) => {
      assert.equal(error.code, 'LIMIT_REACHED')
      assert.deepEqual(error.details, { limit: 'tokens', scope: 'turn', max: 200, spent: 200, turn: 1 })
      return true
    })
    await first.runtime.close()

    const second = await open(directory, { limits: { tokens: 1_000 } })
    const { output, spend } = await second.session.run('go')
    assert.equal(output, 'noted go 1, noted go 2, noted go 3')
    assert.deepEqual([second.model.calls, second.notes, spend.costUsd], [2, ['go 3'], 4])
    await second.runtime.close()
  })

  test('wait for a person who may extend them, over a restart, and the turn goes on where it was', async () => {
    const directory = room.room.path()
    const profile = { limits: { costUsd: 2 }, onLimit: 'ask' } as const
    const first = await open(directory, profile)
    const cut = first.session.run('go')
    cut.catch(() => {})
    const asked = await eventually('it asks', async () => (await readPending(first.runtime))[0])
    assert.deepEqual([asked.kind, asked.name], ['limit', 'costUsd'])
    const run = first.runtime.get(asked.runId)
    await assert.rejects(run.answer(asked.id, { extend: { tokens: 5 } }), { code: 'ANSWER_INVALID' })
    await first.runtime.close()
    await assert.rejects(cut)

    const second = await open(directory, profile)
    const [pending] = await readPending(second.runtime)
    assert.equal(pending?.id, asked.id)
    await second.runtime.get(asked.runId).answer(asked.id, { extend: { costUsd: 5 } })
    assert.equal((await second.session.run('go')).output, 'noted go 1, noted go 2, noted go 3')
    assert.deepEqual([second.model.calls, second.notes], [2, ['go 3']])
    await second.runtime.close()
  })

  test('end an answer in the middle of its stream, and count what it used by estimate', async () => {
    const runtime = await room.open()
    const model = scriptedModel(() => 'word '.repeat(4_000))
    const agent = testAgent(model, { limits: { tokens: 500 } })
    let heard = 0
    const failed = await runtime
      .durable(agent)
      .session('s')
      .run('go', {
        onText: (delta) => {
          heard += delta.length
        },
      })
      .then(
        () => assert.fail('it was not limited'),
        (error) => error,
      )
    assert.equal(failed.code, 'LIMIT_REACHED')
    assert.ok(heard < 20_000, `${heard} characters`)
    const [settled] = runtime.events.filter((event) => event.type === 'call.settled')
    assert.ok(settled?.type === 'call.settled' && settled.spent.outputTokens > 0)
    await runtime.close()
  })

  test('of time pass also while no process runs', async () => {
    const directory = room.room.path()
    const clock = testClock()
    const hung = Promise.withResolvers<void>()
    const agent = (hangs: boolean) =>
      testAgent(
        scriptedModel(() => {
          if (!hangs) return 'done'
          hung.resolve()
          return { text: 'never', fault: 'hang' } as const
        }),
        { limits: { wallTimeMs: 60_000 } },
      )
    const first = await room.open(directory, { clock })
    const cut = first.durable(agent(true)).session('s').run('go')
    cut.catch(() => {})
    await hung.promise
    await first.close()

    const later = testClock({ now: clock.now() + 120_000 })
    const second = await room.open(directory, { clock: later })
    await assert.rejects(second.durable(agent(false)).session('s').run('go'), { code: 'LIMIT_REACHED' })
    await second.close()
  })

  test('of time end a tool that hangs', async () => {
    const clock = testClock()
    const runtime = await room.open(room.room.path(), { clock })
    const begun = Promise.withResolvers<AbortSignal>()
    const hang = tool({
      name: 'hang',
      description: 'Hangs',
      input: z.object({}),
      run: (_, { signal }) => {
        begun.resolve(signal)
        return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      },
    })
    const model = scriptedModel(() => ({ toolCalls: [{ name: 'hang', arguments: {} }] }))
    const turn = runtime
      .durable(testAgent(model, { limits: { wallTimeMs: 60_000 } }, [hang]))
      .session('s')
      .run('go')
    turn.catch(() => {})
    const signal = await begun.promise
    await clock.advance(60_000)
    await assert.rejects(turn, { code: 'LIMIT_REACHED' })
    assert.equal(signal.aborted, true)
    await runtime.close()
  })
})

describe('an agent as a run', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('that is started with a prompt ends with the answer, and has the limits of its profile', async () => {
    const { openRuntime } = await import('perdure')
    const model = scriptedModel(() => priced({ toolCalls: [callNote('x')] }))
    const { note } = noteTool()
    const agent = testAgent(model, { name: 'limited', limits: { steps: 2 } }, [note])
    const fine = testAgent(
      scriptedModel(() => 'Hi.'),
      { name: 'fine' },
    )
    await using runtime = await openRuntime({
      directory: room.room.path(),
      machines: [agent.machine, fine.machine],
      log: 'silent',
    })
    const run = await runtime.start(fine.machine, { id: 'fine', input: { prompt: 'Hello' } })
    assert.equal((await run.done()).output, 'Hi.')
    const failing = await runtime.start(agent.machine, { id: 'limited', input: { prompt: 'Hello' } })
    await assert.rejects(failing.done(), { code: 'LIMIT_REACHED' })
    assert.equal(model.calls, 2)
  })

  test('takes prompts one after the other, and messages while a turn is under way', async () => {
    const { openRuntime } = await import('perdure')
    const gate = Promise.withResolvers<void>()
    const { note } = noteTool(() => gate.promise)
    const model = scriptedModel(({ messages }) => {
      const last = messages.at(-1)
      if (last?.role === 'user' && last.content === 'one') return { toolCalls: [callNote('x')] }
      return `${messages
        .filter(({ role }) => role === 'user')
        .map(({ content }) => content)
        .join('+')}!`
    })
    const agent = testAgent(model, {}, [note])
    await using runtime = await openRuntime({ directory: room.room.path(), machines: [agent.machine], log: 'silent' })
    const run = await runtime.start(agent.machine, { id: 'run' })
    await run.send({ type: 'prompt', text: 'one' })
    await run.waitFor('acting')
    await run.send({ type: 'prompt', text: 'two' }, { id: 'p2' })
    await run.send({ type: 'steer', text: 'and more' })
    gate.resolve()
    const end = await run.waitFor(({ context }) => context.turn === 2 && context.messages.at(-1)?.role === 'assistant')
    assert.deepEqual(
      end.context.messages.flatMap(({ role, content }) => (role === 'assistant' && content !== '' ? [content] : [])),
      ['one+and more!', 'one+and more+two!'],
    )
  })
})
