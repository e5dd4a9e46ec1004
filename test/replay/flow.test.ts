/** A flow replayed: its function runs with what its checkpoints came to, and its turns are answered from the recording. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FlowContext, Model, Profile, Runtime } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { replayRun } from '../../src/replay/replay-run.ts'
import { addTool, noModel, record } from '../support/recorded-run.ts'
import { lastPrompt, testAgent } from '../support/runtime-room.ts'

const answering = () =>
  scriptedModel(({ messages }) => {
    const last = messages.at(-1)
    if (last?.role === 'tool') return `It is ${last.content}.`
    const prompt = lastPrompt({ messages })
    return prompt.startsWith('add') ? { toolCalls: [{ name: 'add', arguments: { a: 1, b: 2 } }] } : `${prompt}!`
  })

/** What a flow did outside, and what its agent was built with. */
interface World {
  readonly model: Model
  readonly outside: string[]
  readonly profile?: Partial<Profile>
}

type Story = (flow: FlowContext, world: World, agent: ReturnType<Runtime['durable']>, input: string) => Promise<unknown>

const define = (story: Story, world: World) => (runtime: Runtime) => {
  const { add } = addTool()
  const agent = runtime.durable(testAgent(world.model, world.profile, [add]))
  return runtime.flow('story', (input: string, flow) => story(flow, world, agent, input))
}

/** Everything that a flow can ask for. */
const whole: Story = async (flow, { outside }, agent, input) => {
  const loaded = await flow.step('load', () => {
    outside.push('load')
    return `${input} loaded`
  })
  const caught = await flow
    .step('fail', () => {
      outside.push('fail')
      throw new Error('Out of paper')
    })
    .catch((error: Error) => error.message)
  await flow.sleep(1)
  const { output } = await agent.run(`say ${loaded}`)
  const [sum, event, isSure] = await flow.all([
    async () => (await agent.run('add')).output,
    () => flow.waitFor('paid', { schema: z.object({ type: z.literal('paid'), order: z.string() }) }),
    () => flow.ask('Are you sure?', z.boolean()),
  ])
  return { caught, output, sum, order: event.order, isSure }
}

const recordStory = (story: Story, world: World) =>
  record('run', async (runtime) => {
    runtime.subscribe((event) => {
      if (event.type === 'question.asked') void runtime.get('run').answer(event.key, true)
      if (event.type === 'checkpoint.started' && event.checkpoint.endsWith('paid'))
        void runtime.get('run').send({ type: 'paid', order: 'o-1' })
    })
    await define(
      story,
      world,
    )(runtime)
      .run('text', { id: 'run' })
      .catch(() => {})
  })

const expected = { caught: 'Out of paper', output: 'say text loaded!', sum: 'It is 3.', order: 'o-1', isSure: true }

describe('a replay of a flow', () => {
  test('of the same code is identical, and does nothing outside', async () => {
    const recording = await recordStory(whole, { model: answering(), outside: [] })
    assert.deepEqual(recording.output, expected)
    const { model, calls } = noModel()
    const outside: string[] = []
    const result = await replayRun(recording, { flows: { story: define(whole, { model, outside }) } })
    assert.deepEqual(result.divergences, [])
    assert.deepEqual(result.output, expected)
    assert.deepEqual([calls(), outside], [0, []])
    assert.deepEqual(
      result.replayed?.within.map(({ id }) => id),
      ['run/all.1/1/default', 'run/default'],
    )
  })

  test('stops where a turn is asked in another way, and names the part', async () => {
    const recording = await recordStory(whole, { model: answering(), outside: [] })
    const { model } = noModel()
    await assert.rejects(
      replayRun(recording, { flows: { story: define(whole, { model, outside: [], profile: { systemPrompt: 'Other.' } }) } }),
      {
        code: 'REPLAY_DIVERGED',
        message: /request 1 of turn 1 of run `run\/default` is asked in another way \(system prompt\)/,
      },
    )
    const other: Story = async (flow, world, agent, input) =>
      whole(flow, world, { ...agent, run: (prompt: string) => agent.run(`${prompt}?`) } as typeof agent, input)
    await assert.rejects(replayRun(recording, { flows: { story: define(other, { model, outside: [] }) } }), {
      code: 'REPLAY_DIVERGED',
      message: /is asked in another way \(prompt\)/,
    })
  })

  test('stops at a step that is not in the recording, and does not execute it', async () => {
    const recording = await recordStory(whole, { model: answering(), outside: [] })
    const { model } = noModel()
    const outside: string[] = []
    const more: Story = async (flow, world, agent, input) => {
      await flow.step('new', () => void world.outside.push('new')).catch(() => {})
      return whole(flow, world, agent, input)
    }
    await assert.rejects(replayRun(recording, { flows: { story: define(more, { model, outside }) } }), {
      code: 'REPLAY_DIVERGED',
      message: /`step\/new` of run `run` is not in the recording/,
    })
    assert.deepEqual(outside, [])
    const waiting: Story = async (flow) => flow.waitFor('never')
    await assert.rejects(replayRun(recording, { flows: { story: define(waiting, { model, outside }) } }), {
      code: 'REPLAY_DIVERGED',
      message: /`wait\/never` of run `run` is not in the recording/,
    })
  })

  test('tells of what is not asked for any more, and of another result', async () => {
    const recording = await recordStory(whole, { model: answering(), outside: [] })
    const { model } = noModel()
    const less: Story = async (flow) => flow.step('load', () => '')
    const { identical, divergences } = await replayRun(recording, { flows: { story: define(less, { model, outside: [] }) } })
    assert.equal(identical, false)
    assert.deepEqual(
      divergences.map(({ kind, runId, turn, place }) =>
        [kind, runId, turn, place].filter((part) => part !== undefined).join(' '),
      ),
      [
        'unused run/all.1/1/default 1',
        'unused run/default 1',
        'unused run all.1/2/wait/paid',
        'unused run all.1/3/ask/ask',
        'unused run sleep/sleep',
        'unused run step/fail',
        'result run',
      ],
    )
  })

  test('of one that failed fails in the same way', async () => {
    const failing: Story = async (flow, _, agent) => {
      await agent.run('say it')
      await flow.step('break', () => Promise.reject(new Error('Broken')))
    }
    const recording = await recordStory(failing, { model: answering(), outside: [] })
    assert.equal(recording.status, 'failed')
    const { model } = noModel()
    const { divergences } = await replayRun(recording, { flows: { story: define(failing, { model, outside: [] }) } })
    assert.deepEqual(divergences, [])
    const mended: Story = async (flow, world, agent, input) => failing(flow, world, agent, input).catch(() => 'mended')
    const other = await replayRun(recording, { flows: { story: define(mended, { model, outside: [] }) } })
    assert.deepEqual(
      other.divergences.map(({ kind, recorded, replayed }) => ({ kind, recorded, replayed })),
      [{ kind: 'result', recorded: { error: 'Broken' }, replayed: { output: 'mended' } }],
    )
  })

  test('of one that still waits comes as far as it had come', async () => {
    const waiting: Story = async (flow, world, agent, input) => {
      const result = await whole(flow, world, agent, input)
      await flow.waitFor('never')
      return result
    }
    const waits = Promise.withResolvers<void>()
    const recording = await record('run', async (runtime) => {
      runtime.subscribe((event) => {
        if (event.type === 'question.asked') void runtime.get('run').answer(event.key, true)
        if (event.type !== 'checkpoint.started') return
        if (event.checkpoint.endsWith('paid')) void runtime.get('run').send({ type: 'paid', order: 'o-1' })
        if (event.checkpoint === 'never') waits.resolve()
      })
      define(waiting, { model: answering(), outside: [] })(runtime)
        .run('text', { id: 'run' })
        .catch(() => {})
      await waits.promise
    })
    const { model } = noModel()
    const outside: string[] = []
    const result = await replayRun(recording, { flows: { story: define(waiting, { model, outside }) } })
    assert.deepEqual([result.identical, result.output, outside], [true, undefined, []])
  })

  test('that may go on live executes only what was never recorded', async () => {
    const recording = await recordStory(whole, { model: answering(), outside: [] })
    const outside: string[] = []
    const model = answering()
    const more: Story = async (flow, world, agent, input) => {
      await flow.step('new', () => void world.outside.push('new'))
      const result = await whole(flow, world, agent, input)
      await agent.run('one more')
      return result
    }
    const { output, divergences } = await replayRun(recording, {
      flows: { story: define(more, { model, outside }) },
      onMiss: 'live',
    })
    assert.deepEqual([output, outside, model.calls], [expected, ['new'], 1])
    assert.deepEqual(
      divergences.map(({ kind, place, turn }) => ({ kind, place, turn })),
      [
        { kind: 'missing', place: 'step/new', turn: undefined },
        { kind: 'missing', place: 'm001', turn: 2 },
      ],
    )
  })
})
