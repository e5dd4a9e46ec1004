/** P12: limits hold over restarts, also those of time; a person may raise them from another process. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type Agent, isPerdureError, type Profile, type Runtime } from 'perdure'
import { type ScriptedAnswer, scriptedModel, type TestClock, testClock } from 'perdure/testing'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { readPending } from '../support/pending-list.ts'
import { eventually } from '../support/processes.ts'
import { noteRounds, noteTool, testAgent } from '../support/runtime-room.ts'

const usage = { inputTokens: 60, outputTokens: 40, cachedInputTokens: 0, reasoningTokens: 0 }
const priced = (answer: ScriptedAnswer): ScriptedAnswer => ({ ...answer, usage, costUsd: 1 })

describe('the limits of a run', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  /** Three notes, then an answer: 100 tokens and a dollar each. */
  const noting = (profile: Partial<Profile>) => {
    const { note, notes } = noteTool()
    const rounds = noteRounds(3)
    const model = scriptedModel((request) => priced(rounds(request)))
    return { agent: testAgent(model, profile, [note]), model, notes }
  }
  const hanging = (profile: Partial<Profile>, { note } = noteTool()) => {
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel(() => {
      asked.resolve()
      return { fault: 'hang' } as const
    })
    return { agent: testAgent(model, profile, [note]), model, asked: asked.promise }
  }
  const begin = async ({ agent }: { agent: Agent }, directory = room.directory(), clock?: TestClock) => {
    const runtime = await room.open(directory, [agent.machine], clock === undefined ? {} : { clock })
    const run = await runtime.start(agent.machine, { id: 'run', input: { prompt: 'go' } })
    return { runtime, run, directory }
  }
  const asked = (runtime: Runtime) => eventually('it asks', async () => (await readPending(runtime))[0])
  const reached = (promise: Promise<unknown>, limit: string, scope: string) =>
    assert.rejects(promise, (error) => {
      assert.ok(isPerdureError(error, 'LIMIT_REACHED'), String(error))
      assert.deepEqual([error.details.limit, error.details.scope], [limit, scope])
      return true
    })

  for (const scope of ['turn', 'run'] as const) {
    const profile = scope === 'turn' ? { limits: { wallTimeMs: 60_000 } } : { runLimits: { wallTimeMs: 60_000 } }

    test(`of time for the ${scope} keep their end over a restart, and not a moment less is left`, async () => {
      const clock = testClock()
      const first = hanging(profile)
      const { runtime, directory } = await begin(first, undefined, clock)
      await first.asked
      await clock.advance(20_000)
      await runtime.close()

      const later = testClock({ now: clock.now() + 30_000 })
      const second = hanging(profile)
      const again = await begin(second, directory, later)
      await second.asked
      await later.advance(9_999)
      assert.equal((await again.run.waitFor('thinking')).value, 'thinking')
      const failed = reached(again.run.done(), 'wallTimeMs', scope)
      await later.advance(1)
      await failed
      await again.runtime.close()
    })

    test(`of time for the ${scope} end while no process runs, and nothing is asked after that`, async () => {
      const clock = testClock()
      const first = hanging(profile)
      const { runtime, directory } = await begin(first, undefined, clock)
      await first.asked
      await runtime.close()
      const second = noting(profile)
      const again = await begin(second, directory, testClock({ now: clock.now() + 3_600_000 }))
      await reached(again.run.done(), 'wallTimeMs', scope)
      assert.equal(second.notes.length, 0)
      await again.runtime.close()
    })
  }

  test('of time that is up may be extended after a restart, by as much again', async () => {
    const profile = { limits: { wallTimeMs: 60_000 }, onLimit: 'ask' } as const
    const clock = testClock()
    const first = hanging(profile)
    const { runtime, directory } = await begin(first, undefined, clock)
    await first.asked
    await clock.advance(60_000)
    const { id, name } = await asked(runtime)
    assert.equal(name, 'wallTimeMs')
    await runtime.close()

    const later = testClock({ now: clock.now() + 3_600_000 })
    const second = hanging(profile)
    const again = await begin(second, directory, later)
    await again.run.answer(id, { extend: { wallTimeMs: 30_000 } })
    await second.asked
    await later.advance(29_999)
    assert.deepEqual(await readPending(again.runtime), [])
    await later.advance(1)
    assert.notEqual((await asked(again.runtime)).id, id, 'it is another question')
    await again.runtime.close()
  })

  test('are asked about in one process, raised in another, and the run goes on in a third where it was', async () => {
    const profile = { limits: { tokens: 200 }, onLimit: 'ask' } as const
    const first = noting(profile)
    const { runtime, directory } = await begin(first)
    const question = await asked(runtime)
    assert.deepEqual([question.kind, question.name, question.runId], ['limit', 'tokens', 'run'])
    assert.match(question.text, /the limit of 200 tokens for this turn/)
    assert.deepEqual([first.model.calls, first.notes], [2, ['go 1', 'go 2']])
    await runtime.close()

    const second = hanging(profile)
    const between = await room.open(directory, [second.agent.machine], { autoResume: false })
    assert.deepEqual(await readPending(between), [question])
    await between.get('run').answer(question.id, { extend: { tokens: 500 } })
    assert.deepEqual(await readPending(between), [])
    await second.asked
    await between.close()

    const third = noting(profile)
    const again = await begin(third, directory)
    const { output, spent } = await again.run.done()
    assert.equal(output, 'noted go 1, noted go 2, noted go 3')
    assert.deepEqual([third.model.calls, third.notes], [2, ['go 3']])
    assert.equal(spent.steps, 5, 'with the request that was in flight when the second process ended')
    await again.runtime.close()
  })

  test('are not raised by an answer that does not say by how much, and a stop ends the run', async () => {
    const { runtime, run } = await begin(noting({ limits: { costUsd: 2 }, onLimit: 'ask' }))
    const { id } = await asked(runtime)
    for (const answer of [
      true,
      {},
      { stop: false },
      { stop: true, extend: { costUsd: 1 } },
      { extend: {} },
      { extend: { tokens: 5 } },
      { extend: { costUsd: 0 } },
      { extend: { costUsd: -1 } },
      { extend: { costUsd: 1, other: 1 } },
      { extend: { costUsd: '1' } },
    ])
      await rejectsWith(run.answer(id, answer), 'ANSWER_INVALID')
    await run.answer(id, { stop: true })
    await reached(run.done(), 'costUsd', 'turn')
    assert.deepEqual(await readPending(runtime), [])
    await runtime.close()
  })

  test('of all turns count what the turns before a restart used', async () => {
    const profile = { runLimits: { tokens: 300 } }
    const agent = (model = scriptedModel(() => priced({ text: 'fine' }))) => ({ agent: testAgent(model, profile), model })
    const directory = room.directory()
    const turnOf = async (text: string, { agent: own } = agent()) => {
      const runtime = await room.open(directory, [own.machine])
      const run = await runtime.start(own.machine, { id: 'run' })
      await run.send({ type: 'prompt', text }, { id: text })
      const { context } = await run.waitFor(
        ({ context: now, tags }) => tags.has('settled') && now.messages.some(({ content }) => content === text),
      )
      await runtime.close()
      return context
    }
    for (const text of ['one', 'two', 'three']) assert.equal((await turnOf(text)).error, undefined)
    const last = agent()
    const { error, runSpent } = await turnOf('four', last)
    assert.deepEqual([error?.code, error?.details.scope, error?.details.spent], ['LIMIT_REACHED', 'run', 300])
    assert.deepEqual([last.model.calls, runSpent?.steps], [0, 3])
  })

  test('that an answer crosses while it streams end it at once, and the estimate counts when it is asked for again', async () => {
    const text = 'word '.repeat(4_000)
    const model = scriptedModel((_, call) => (call === 1 ? text : priced({ text: 'short' })))
    const agent = testAgent(model, { limits: { tokens: 500 }, onLimit: 'ask' })
    const { runtime, run, directory } = await begin({ agent })
    const { id } = await asked(runtime)
    const settled = runtime.events.filter((event) => event.type === 'call.settled')
    assert.equal(settled.length, 1)
    await runtime.close()

    const again = await begin({ agent }, directory)
    await again.run.answer(id, { extend: { tokens: 5_000 } })
    const { output, spent } = await again.run.done()
    assert.deepEqual([output, spent.steps, run.id], ['short', 1, 'run'])
    const estimate = spent.tokens - 100
    assert.ok(estimate > 500 && estimate < text.length / 4, `${estimate} tokens were counted for the answer that was ended`)
    assert.equal(model.calls, 2)
    await again.runtime.close()
  })

  test('of tokens and dollars: an answer that is ended by the first has its price by estimate', async () => {
    const model = scriptedModel((_, call) => (call === 1 ? 'word '.repeat(4_000) : priced({ text: 'short' })))
    const costOf = async ({ outputTokens }: { outputTokens: number }): Promise<number> => outputTokens / 1_000
    const agent = testAgent(Object.assign(model, { costOf }), { limits: { tokens: 500, costUsd: 50 }, onLimit: 'ask' })
    const { runtime, run } = await begin({ agent })
    const { id, name } = await asked(runtime)
    assert.equal(name, 'tokens')
    await run.answer(id, { extend: { tokens: 5_000 } })
    const { output, spent } = await run.done()
    assert.deepEqual([output, spent.unpricedCalls], ['short', 0])
    assert.ok(spent.costUsd > 1.4 && spent.costUsd < 5, `${spent.costUsd} dollars`)
    await runtime.close()
  })

  test('of dollars want a price: a model without one fails the run by that name', async () => {
    const { note } = noteTool()
    const agent = testAgent(scriptedModel(noteRounds(1)), { limits: { costUsd: 5 } }, [note])
    const { runtime, run } = await begin({ agent })
    await rejectsWith(run.done(), 'PRICE_UNKNOWN')
    await runtime.close()
  })
})
