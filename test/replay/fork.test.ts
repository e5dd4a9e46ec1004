/** Forks replayed and compared: they begin with turns that are another run's. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Runtime } from 'perdure'
import { diffRuns, replayRun } from 'perdure/replay'
import { scriptedModel } from 'perdure/testing'
import { addTool, noModel, record } from '../support/recorded-run.ts'
import { lastPrompt, testAgent } from '../support/runtime-room.ts'

type ForkOptions = Parameters<Runtime['fork']>[1]

const toAgent = () => {
  const model = scriptedModel(({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === 'tool') return `It is ${last.content}.`
    return lastPrompt({ messages }).startsWith('add') ? { toolCalls: [{ name: 'add', arguments: { a: 1, b: 2 } }] } : 'Fine.'
  })
  return testAgent(model, {}, [addTool().add])
}

/** Turns of a session, then a fork of it, which goes on by `play`. */
const recordFork = (options: ForkOptions, play: (runtime: Runtime) => Promise<unknown>) =>
  record('default/other', async (runtime) => {
    await talk(runtime)
    await runtime.fork('default/main', { ...options, id: 'default/other' })
    await play(runtime)
  })

const talk = async (runtime: Runtime): Promise<void> => {
  const session = runtime.durable(toAgent()).session('main')
  for (const prompt of ['hello', 'add', 'bye']) await session.run(prompt)
}
const takeUp = (runtime: Runtime) => runtime.durable(toAgent()).session('other').resume()

const forks: Readonly<Record<string, readonly [ForkOptions, (runtime: Runtime) => Promise<unknown>]>> = {
  'at a turn, with another prompt and system prompt': [{ at: { turn: 2 }, prompt: 'add it', systemPrompt: 'Be long.' }, takeUp],
  'at a call, with another result': [{ at: { turn: 2, call: 'm1/call_3_0' }, result: 40 }, takeUp],
  'after a turn': [{ at: { after: 1 } }, (runtime) => runtime.durable(toAgent()).session('other').run('add more')],
  'that was not gone on with': [{ at: { turn: 3 } }, async () => {}],
}

describe('a fork', () => {
  for (const [how, [options, play]] of Object.entries(forks))
    test(`${how} is replayed from where it began`, async () => {
      const recording = await recordFork(options, play)
      const { model, calls } = noModel()
      const { add, executed } = addTool()
      const { divergences, output, recordedOutput, replayed } = await replayRun(recording, {
        agents: [testAgent(model, {}, [add])],
      })
      assert.deepEqual(divergences, [])
      assert.equal(output, recordedOutput)
      assert.deepEqual([calls(), executed], [0, []])
      assert.deepEqual(replayed?.messages, recording.messages)
    })

  test('stops where today it is asked in another way', async () => {
    const recording = await recordFork({ at: { turn: 2 } }, takeUp)
    await assert.rejects(
      replayRun(recording, { agents: [testAgent(noModel().model, { systemPrompt: 'Be long.' }, [addTool().add])] }),
      {
        code: 'REPLAY_DIVERGED',
        message: /request 1 of turn 2 of run `default\/other` is asked in another way \(system prompt\)/,
      },
    )
  })

  test('shares with its origin, and with another fork, what came before', async () => {
    const origin = await record('default/main', talk)
    const one = await recordFork({ at: { turn: 2, call: 'm1/call_3_0' }, result: 40 }, takeUp)
    const other = await recordFork({ at: { turn: 2 }, prompt: 'wait' }, takeUp)
    const compare = (a: typeof one, b: typeof one) =>
      diffRuns(a, b).turns.map(({ change, changed, a: before, b: after }) => [change, ...changed, before?.turn, after?.turn])
    assert.deepEqual(compare(origin, one), [
      ['same', 1, 1],
      ['changed', 'result', 2, 2],
      ['removed', 3, undefined],
    ])
    assert.deepEqual(compare(other, origin), [
      ['same', 1, 1],
      ['changed', 'prompt', 'result', 2, 2],
      ['added', undefined, 3],
    ])
    assert.deepEqual(compare(one, other), [['changed', 'prompt', 'result', 2, 2]])
    assert.equal(diffRuns(origin, one).b?.turns, 2)
  })
})
