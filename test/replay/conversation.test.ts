/** A conversation replayed: the same code comes to the same without asking anybody, other code is told where it differs. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Script, scriptedModel } from 'perdure/testing'
import { replayRun } from '../../src/replay/replay-run.ts'
import { addTool, noModel, record } from '../support/recorded-run.ts'
import { lastPrompt, testAgent } from '../support/runtime-room.ts'

/** Adds for each prompt, then says what came of it. */
const adding: Script = ({ messages }) => {
  const last = messages.at(-1)
  if (last?.role === 'tool') return { text: `It is ${last.content}.` }
  return {
    toolCalls: [
      { name: 'add', arguments: { a: messages.length, b: 2 } },
      { name: 'add', arguments: { a: 1, b: 1 } },
    ],
  }
}

const recordAdding = () =>
  record('default/main', async (runtime) => {
    const session = runtime.durable(testAgent(scriptedModel(adding), {}, [addTool().add])).session('main')
    await session.run('first')
    await session.run('second', { id: 'message 2' })
  })

describe('a replay of a conversation', () => {
  test('of the same code is identical, and asks neither the model nor the tools', async () => {
    const recording = await recordAdding()
    const { add, executed } = addTool()
    const { model, calls } = noModel()
    const result = await replayRun(recording, { agents: [testAgent(model, {}, [add])] })
    assert.deepEqual(result.divergences, [])
    assert.equal(result.identical, true)
    assert.equal(result.output, 'It is 2.')
    assert.equal(result.recordedOutput, 'It is 2.')
    assert.deepEqual(executed, [])
    assert.equal(calls(), 0)
    assert.deepEqual(result.replayed?.messages, recording.messages)
    assert.equal(result.replayed?.turns[1]?.record.id, 'message 2')
  })

  const changes = [
    { part: 'system prompt', profile: { systemPrompt: 'Be long.' } },
    { part: 'model', profile: { model: 'other-model' } },
    { part: 'settings', profile: { settings: { temperature: 0 } } },
    { part: 'tools', profile: { allowedTools: [] } },
  ] as const
  for (const { part, profile } of changes)
    test(`stops where the ${part} is another, and asks nobody`, async () => {
      const recording = await recordAdding()
      const { add, executed } = addTool()
      const { model, calls } = noModel()
      await assert.rejects(replayRun(recording, { agents: [testAgent(model, profile, [add])] }), (error: Error) => {
        assert.match(
          error.message,
          new RegExp(`request 1 of turn 1 of run \`default/main\` is asked in another way \\(${part}\\)`),
        )
        assert.deepEqual('details' in error && error.details, {
          run: 'default/main',
          turn: 1,
          place: 'm001',
          kind: 'changed',
          changed: [part],
        })
        return true
      })
      assert.equal(calls(), 0)
      assert.deepEqual(executed, [])
    })

  test('stops at an answer that is not recorded', async () => {
    const recording = await recordAdding()
    const [first, second] = recording.turns
    assert.ok(first !== undefined && second !== undefined)
    const { model, calls } = noModel()
    const agent = testAgent(model, {}, [addTool().add])
    const without = { ...recording, turns: [{ ...first, calls: first.calls.filter(({ place }) => place !== 'm002') }, second] }
    await assert.rejects(replayRun(without, { agents: [agent] }), {
      code: 'REPLAY_DIVERGED',
      message: /request 2 of turn 1 .* no answer/,
    })
    const tool = first.calls.find(({ kind }) => kind === 'tool')
    const withoutTool = { ...recording, turns: [{ ...first, calls: first.calls.filter((call) => call !== tool) }, second] }
    await assert.rejects(replayRun(withoutTool, { agents: [agent] }), {
      code: 'REPLAY_DIVERGED',
      message: /call `call_1_0` of request 1 of turn 1/,
    })
    assert.equal(calls(), 0)
  })

  test('tells of a turn that comes to something else', async () => {
    const recording = await recordAdding()
    const { model } = noModel()
    const [first, ...rest] = recording.turns
    assert.ok(first?.record.status === 'ok')
    const changed = { ...recording, turns: [{ ...first, record: { ...first.record, output: 'It is 7.' } }, ...rest] }
    const { identical, divergences } = await replayRun(changed, { agents: [testAgent(model, {}, [addTool().add])] })
    assert.equal(identical, false)
    assert.deepEqual(
      divergences.map(({ kind, turn, recorded, replayed }) => ({ kind, turn, recorded, replayed })),
      [{ kind: 'result', turn: 1, recorded: 'It is 7.', replayed: 'It is 2.' }],
    )
  })

  test('that may go on live asks the model from where it differs, and executes no call that was recorded', async () => {
    const recording = await recordAdding()
    const { add, executed } = addTool()
    const model = scriptedModel((request) => {
      const last = request.messages.at(-1)
      if (last?.role === 'tool') return `Live: ${last.content}`
      const a = lastPrompt(request) === 'second' ? 100 : 1
      return { toolCalls: [{ name: 'add', arguments: { a, b: 2 } }] }
    })
    const agent = testAgent(model, { systemPrompt: 'Be long.' }, [add])
    const { identical, divergences, output } = await replayRun(recording, { agents: [agent], onMiss: 'live' })
    assert.equal(identical, false)
    assert.equal(output, 'Live: 102')
    assert.deepEqual(executed, ['100 + 2'])
    assert.equal(model.calls, 4)
    assert.deepEqual(
      divergences.filter(({ kind }) => kind === 'changed').map(({ turn, place, changed }) => ({ turn, place, changed })),
      [
        { turn: 1, place: 'm001', changed: ['system prompt'] },
        { turn: 2, place: 'm001', changed: ['system prompt', 'earlier result'] },
      ],
    )
  })

  test('answers for the people: an approval, a denial, changed arguments, a question', async () => {
    const script: Script = ({ messages }) => {
      const last = messages.at(-1)
      if (last?.role === 'tool') return last.content
      return lastPrompt({ messages }) === 'ask'
        ? { toolCalls: [{ name: 'askHuman', arguments: { question: 'Which?' } }] }
        : { toolCalls: [{ name: 'add', arguments: { a: 1, b: 2 } }] }
    }
    const answers: Readonly<Record<string, unknown>> = {
      yes: true,
      no: { approved: false, reason: 'Not today.' },
      other: { approved: true, arguments: { a: 5, b: 5 } },
      ask: 'This one.',
    }
    const recording = await record('default/main', async (runtime) => {
      const { add } = addTool({ approval: true })
      const agent = testAgent(scriptedModel(script), { allowedTools: ['add', 'askHuman'] }, [add])
      const session = runtime.durable(agent).session('main')
      let prompt = ''
      runtime.subscribe((event) => {
        if (event.type === 'question.asked') void runtime.get(event.runId).answer(event.key, answers[prompt])
      })
      for (prompt of Object.keys(answers)) await session.run(prompt)
    })
    const { model, calls } = noModel()
    const { add, executed } = addTool({ approval: true })
    const agent = testAgent(model, { allowedTools: ['add', 'askHuman'] }, [add])
    const { divergences, replayed } = await replayRun(recording, { agents: [agent] })
    assert.deepEqual(divergences, [])
    assert.deepEqual(replayed?.messages, recording.messages)
    assert.deepEqual(executed, [])
    assert.equal(calls(), 0)
    assert.equal(recording.turns.length, 4)
  })
})

describe('a replay of a conversation that was disturbed', () => {
  const replay = async (recording: Awaited<ReturnType<typeof record>>) => {
    const { model, calls } = noModel()
    const { add, executed } = addTool()
    const result = await replayRun(recording, { agents: [testAgent(model, {}, [add])] })
    assert.deepEqual(result.divergences, [])
    assert.deepEqual(result.replayed?.messages, recording.messages)
    assert.deepEqual([calls(), executed], [0, []])
    return result
  }

  test('has what the user said while a turn ran in its place', async () => {
    const recording = await record('default/main', async (runtime) => {
      const model = scriptedModel(async (request) => {
        if (request.messages.length === 1) {
          await session.steer('And be quick.')
          await session.steer('And polite.')
        }
        if (request.messages.length === 9) await session.steer('Is that all?')
        return adding instanceof Function ? adding(request, 1) : ''
      })
      const session = runtime.durable(testAgent(model, {}, [addTool().add])).session('main')
      await session.run('first')
    })
    assert.equal(recording.messages.filter(({ role }) => role === 'user').length, 4)
    await replay(recording)
  })

  test('is interrupted where it was: in a request, and in a call', async () => {
    const recording = await record('default/main', async (runtime) => {
      const { add } = addTool()
      const slow = {
        ...add,
        execute: async (text: string, context: Parameters<typeof add.execute>[1]) => {
          if (!text.startsWith('{"a":1,')) return add.execute(text, context)
          setImmediate(() => void session.interrupt('Stop adding.'))
          await new Promise((resolve) => context.signal.addEventListener('abort', resolve))
          return { content: 'too late', isError: false }
        },
      }
      const model = scriptedModel(({ messages }) => {
        if (messages.length === 1) {
          void session.interrupt('No, wait.')
          return { fault: 'hang' }
        }
        if (messages.length === 2)
          return {
            toolCalls: [
              { name: 'add', arguments: { a: 7, b: 2 } },
              { name: 'add', arguments: { a: 1, b: 1 } },
            ],
          }
        return 'Well.'
      })
      const session = runtime.durable(testAgent(model, {}, [slow])).session('main')
      await session.run('first')
      await session.run('second')
    })
    assert.deepEqual(
      recording.messages.map(({ role, content }) => `${role}: ${content}`),
      [
        'user: first',
        'user: No, wait.',
        'assistant: ',
        'tool: 9',
        'tool: This call was interrupted. Its outcome is not known.',
        'user: Stop adding.',
        'assistant: Well.',
        'user: second',
        'assistant: Well.',
      ],
    )
    await replay(recording)
  })

  test('fails where it failed, and goes on with the next turn', async () => {
    const recording = await record('default/main', async (runtime) => {
      const model = scriptedModel([{ error: new Error('Out of order') }, 'Fine.'])
      const session = runtime.durable(testAgent(model, {}, [addTool().add])).session('main')
      await assert.rejects(session.run('first'))
      await session.run('second')
    })
    assert.deepEqual(
      recording.turns.map(({ record: { status } }) => status),
      ['error', 'ok'],
    )
    await replay(recording)
  })

  test('is aborted where it was, and stops at a limit of time', async () => {
    const recording = await record('default/main', async (runtime) => {
      const model = scriptedModel([{ fault: 'hang' }, { fault: 'hang' }, 'Fine.'])
      const session = runtime.durable(testAgent(model, { limits: { wallTimeMs: 50 } }, [addTool().add])).session('main')
      const controller = new AbortController()
      const first = session.run('first', { signal: controller.signal })
      setImmediate(() => setImmediate(() => controller.abort()))
      await assert.rejects(first, { code: 'ABORTED' })
      await assert.rejects(session.run('second'), { code: 'LIMIT_REACHED' })
      await session.run('third')
    })
    const { model } = noModel()
    const agent = testAgent(model, { limits: { wallTimeMs: 50 } }, [addTool().add])
    const result = await replayRun(recording, { agents: [agent] })
    assert.deepEqual(result.divergences, [])
    assert.deepEqual(result.replayed?.messages, recording.messages)
    assert.equal(result.output, 'Fine.')
  })

  test('of one that was cut off comes as far as it had come', async () => {
    const asked = Promise.withResolvers<void>()
    const recording = await record('default/main', async (runtime) => {
      const model = scriptedModel((request) => {
        if (request.messages.length < 4) return adding instanceof Function ? adding(request, 1) : ''
        asked.resolve()
        return { fault: 'hang' }
      })
      runtime
        .durable(testAgent(model, {}, [addTool().add]))
        .session('main')
        .run('first')
        .catch(() => {})
      await asked.promise
    })
    assert.equal(recording.turns[0]?.record.status, 'intended')
    const { identical, output } = await replay(recording)
    assert.deepEqual([identical, output], [true, undefined])
  })
})
