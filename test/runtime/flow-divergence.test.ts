/** What executes again when a checkpoint is no longer what was recorded, and what stays (generations, see `attempt.ts`). */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError, type Profile, type Runtime } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { createRuntimeRoom, echo, noteTool, type RuntimeRoom, testAgent, toOutline } from '../support/runtime-room.ts'

describe('a checkpoint that differs from its record', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  /** A flow `first` turn, `step`, `second` turn of another agent; then the end that the test wants. */
  const start = async (
    directory: string,
    change: { prompt?: string; profile?: Partial<Profile>; end?: 'fails' | 'completes'; tools?: boolean } = {},
  ) => {
    const model = scriptedModel(echo)
    const runtime = await room.open(directory)
    const { note } = noteTool()
    const changing = runtime.durable(testAgent(model, { name: 'one', ...change.profile }, change.tools ? [note] : []))
    const other = runtime.durable(testAgent(model, { name: 'two' }))
    const steps: string[] = []
    const flow = runtime.flow('flow', async (_input: string, { step }) => {
      const before = await other.run('before')
      const first = await changing.run(change.prompt ?? 'prompt')
      const count = await step('count', () => {
        steps.push('count')
        return first.output.length
      })
      const second = await other.run('after')
      if (change.end !== 'completes') throw new Error('on purpose')
      return [before.output, first.output, count, second.output]
    })
    const result = await flow.run('input').catch((error: unknown) => error)
    await runtime.close()
    return { result, outline: toOutline(runtime.events), calls: model.calls, steps }
  }

  for (const [part, change] of [
    ['prompt', { prompt: 'other prompt' }],
    ['system prompt', { profile: { systemPrompt: 'Be long.' } }],
    ['model', { profile: { model: 'other-model' } }],
    ['settings', { profile: { settings: { temperature: 1 } } }],
    ['tools', { tools: true }],
  ] as const)
    test(`executes with all that comes after it, and the log says that the ${part} changed`, async () => {
      const directory = room.room.path()
      assert.deepEqual((await start(directory)).outline, ['two new', 'one new', 'count new', 'two_2 new'])
      assert.deepEqual((await start(directory)).outline, ['two reused', 'one reused', 'count reused', 'two_2 reused'])
      const changed = await start(directory, change)
      assert.deepEqual(changed.outline, ['two reused', `one changed: ${part}`, 'count after-change', 'two_2 after-change'])
      assert.equal(changed.calls, 2)
      const again = await start(directory, { ...change, end: 'completes' })
      assert.deepEqual(again.outline, ['two reused', 'one reused', 'count reused', 'two_2 reused'])
      assert.equal(again.calls, 0)
      const output = `${'prompt' in change ? change.prompt : 'prompt'}!`
      assert.deepEqual(again.result, ['before!', output, output.length, 'after!'])
    })

  test('a higher maxSteps and another order of settings change nothing', async () => {
    const directory = room.room.path()
    await start(directory, { profile: { settings: { temperature: 1, topP: 0.5 } } })
    const { outline } = await start(directory, { profile: { settings: { topP: 0.5, temperature: 1 }, maxSteps: 7 } })
    assert.deepEqual(outline, ['two reused', 'one reused', 'count reused', 'two_2 reused'])
  })

  test('several changes are all named', async () => {
    const directory = room.room.path()
    await start(directory)
    const { outline } = await start(directory, { prompt: 'x', profile: { model: 'y' } })
    assert.equal(outline[1], 'one changed: prompt: model')
  })

  test('changing back is a change', async () => {
    const directory = room.room.path()
    await start(directory)
    await start(directory, { prompt: 'x' })
    const { outline, result } = await start(directory, { end: 'completes' })
    assert.deepEqual(outline, ['two reused', 'one changed: prompt', 'count after-change', 'two_2 after-change'])
    assert.deepEqual(result, ['before!', 'prompt!', 7, 'after!'])
  })

  test('checkpoints that ran beside it stay', async () => {
    const directory = room.room.path()
    const run = async (prompt: string) => {
      const model = scriptedModel(echo)
      const runtime = await room.open(directory)
      const agents = ['a', 'b', 'c', 'd'].map((name) => runtime.durable(testAgent(model, { name })))
      const flow = runtime.flow('flow', async () => {
        const [a, b, c, d] = agents
        await Promise.all([a?.run(prompt), b?.run('b').then(() => c?.run('c'))])
        await d?.run('d')
        throw new Error('on purpose')
      })
      await assert.rejects(flow.run(undefined), { message: 'on purpose' })
      await runtime.close()
      return toOutline(runtime.events).sort()
    }
    await run('x')
    assert.deepEqual(await run('x'), ['a reused', 'b reused', 'c reused', 'd reused'])
    const changed = await run('y')
    assert.ok(changed.includes('a changed: prompt') && changed.includes('b reused') && changed.includes('d after-change'))
    assert.deepEqual(await run('y'), ['a reused', 'b reused', 'c reused', 'd reused'])
  })

  test('what ran beside it stays also after a death, and nothing of it is paid again', async () => {
    const directory = room.room.path()
    const attempt = async (prompt: string, hold: Promise<unknown> | undefined, die: boolean) => {
      const model = scriptedModel((request) => ({
        text: echo(request),
        ...(hold && echo(request) === `${prompt}!` ? { until: hold } : {}),
      }))
      const runtime = await room.open(directory)
      const agents = ['a', 'b', 'c', 'd', 'e'].map((name) => runtime.durable(testAgent(model, { name })))
      const [a, b, c, d, e] = agents
      const beside = Promise.withResolvers<void>()
      const flow = runtime.flow('flow', async () => {
        const branch = async (): Promise<void> => {
          await b?.run('b')
          await c?.run('c')
          if (prompt === 'y') await e?.run('new in this version')
          beside.resolve()
        }
        await Promise.all([a?.run(prompt), branch()])
        if (die) await new Promise(() => {})
        await d?.run('d')
        throw new Error('on purpose')
      })
      const run = flow.run(undefined)
      return { run, runtime, beside: beside.promise, model }
    }
    const first = await attempt('x', undefined, false)
    await assert.rejects(first.run)
    await first.runtime.close()

    const release = Promise.withResolvers<void>()
    const second = await attempt('y', release.promise, true)
    await second.beside
    const settled = Promise.withResolvers<void>()
    second.runtime.subscribe((event) => event.type === 'checkpoint.finished' && event.checkpoint === 'a' && settled.resolve())
    release.resolve()
    await settled.promise
    await Promise.all([second.runtime.close(), assert.rejects(second.run)])
    assert.deepEqual(toOutline(second.runtime.events).sort(), ['a changed: prompt', 'b reused', 'c reused', 'e new'])

    const third = await attempt('y', undefined, false)
    await assert.rejects(third.run, { message: 'on purpose' })
    assert.deepEqual(toOutline(third.runtime.events).sort(), ['a reused', 'b reused', 'c reused', 'd after-change', 'e reused'])
    assert.equal(third.model.calls, 1)
    await third.runtime.close()
  })

  test('a death in the middle of what executes after a change goes on rightly, also when something changes again', async () => {
    const directory = room.room.path()
    /** Steps and turns a, b, c; dies after `until`. */
    const attempt = async (prompts: readonly [string, string, string], until: string | undefined) => {
      const model = scriptedModel(echo)
      const runtime = await room.open(directory)
      const dead = Promise.withResolvers<void>()
      runtime.subscribe((event) => {
        if (
          event.type.startsWith('checkpoint.') &&
          'checkpoint' in event &&
          event.checkpoint === until &&
          event.type !== 'checkpoint.started'
        )
          dead.resolve()
      })
      const agents = ['a', 'b', 'c'].map((name) => runtime.durable(testAgent(model, { name })))
      const flow = runtime.flow('flow', async () => {
        const outputs: string[] = []
        for (const [index, agent] of agents.entries()) {
          outputs.push((await agent.run(prompts[index] ?? '')).output)
          if (agent.profile.name === until) await new Promise(() => {})
        }
        return outputs
      })
      const result = flow.run(undefined).catch((error: unknown) => error)
      if (until !== undefined) {
        await dead.promise
        await runtime.close()
      }
      const output = await result
      await runtime.close()
      return { output, outline: toOutline(runtime.events) }
    }
    await attempt(['a', 'b', 'c'], 'c')
    assert.deepEqual((await attempt(['A', 'b', 'c'], 'a')).outline, ['a changed: prompt'])
    assert.deepEqual((await attempt(['A', 'b', 'c'], 'c')).outline, ['a reused', 'b after-change', 'c after-change'])
    assert.deepEqual((await attempt(['A', 'B', 'c'], 'b')).outline, ['a reused', 'b changed: prompt'])
    const last = await attempt(['A', 'B', 'c'], undefined)
    assert.deepEqual(last.outline, ['a reused', 'b reused', 'c after-change'])
    assert.deepEqual(last.output, ['A!', 'B!', 'c!'])
  })

  test('what comes after a changed turn executes also when that turn fails and the flow goes on', async () => {
    const directory = room.room.path()
    const run = async (prompt: string, fails: boolean) => {
      const model = scriptedModel(() => (fails ? { text: '', fault: 'refusal' } : 'fine'))
      const runtime = await room.open(directory)
      const agent = runtime.durable(testAgent(model))
      const flow = runtime.flow('flow', async (_input: undefined, { step }: FlowContext) => {
        const answer = await agent.run(prompt).catch((error: unknown) => {
          assert.ok(isPerdureError(error, 'MODEL_REFUSED'))
          return { output: 'refused' }
        })
        await step('keep', () => answer.output)
        throw new Error('on purpose')
      })
      await assert.rejects(flow.run(undefined), { message: 'on purpose' })
      await runtime.close()
      return toOutline(runtime.events)
    }
    await run('x', false)
    assert.deepEqual(await run('y', true), ['default changed: prompt', 'keep after-change'])
  })

  test('an earlier turn of the same agent that changes takes the later ones with it', async () => {
    const directory = room.room.path()
    const run = async (runtime: Runtime & { events: unknown }, prompts: readonly string[]) => {
      const model = scriptedModel(({ messages }) => messages.map(({ content }) => content).join('|'))
      const agent = runtime.durable(testAgent(model))
      const flow = runtime.flow('flow', async () => {
        const outputs: string[] = []
        for (const prompt of prompts) outputs.push((await agent.run(prompt)).output)
        throw new Error(outputs.at(-1))
      })
      const error = await flow.run(undefined).catch((error: unknown) => error)
      await runtime.close()
      return { message: error instanceof Error ? error.message : '', calls: model.calls }
    }
    await run(await room.open(directory), ['1', '2', '3'])
    const changed = await run(await room.open(directory), ['1', 'two', '3'])
    assert.deepEqual(changed, { message: '1|1|two|1|1|two|3', calls: 2 })
    const shorter = await run(await room.open(directory), ['1', 'two'])
    assert.deepEqual(shorter, { message: '1|1|two', calls: 0 })
  })
})

describe('a run with cache: false', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const open = async (directory: string, dieAfter?: string) => {
    const model = scriptedModel(echo)
    const runtime = await room.open(directory)
    const agent = runtime.durable(testAgent(model))
    const dead = Promise.withResolvers<void>()
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      const outputs: unknown[] = []
      for (const name of ['one', 'two']) {
        outputs.push((await agent.run(name)).output)
        outputs.push(await step(name, ({ key }) => key))
        if (name === dieAfter) {
          dead.resolve()
          await new Promise(() => {})
        }
      }
      return outputs
    })
    return { model, runtime, flow, dead: dead.promise }
  }
  const all = ['one!', 'flow/id#step/one', 'two!', 'flow/id#step/two'].map((text) => text.replace('flow/id', 'id'))

  test('executes everything again and replaces the records', async () => {
    const directory = room.room.path()
    const first = await open(directory)
    assert.deepEqual(await first.flow.run(undefined, { id: 'id' }), all)
    assert.deepEqual(await first.flow.run(undefined, { id: 'id', cache: false }), all)
    assert.equal(first.model.calls, 4)
    assert.deepEqual(await first.flow.run(undefined, { id: 'id' }), all)
    assert.equal(first.model.calls, 4)
    await first.runtime.close()
  })

  for (const cache of [true, false])
    test(`that died in the middle and is started again with cache: ${cache}`, async () => {
      const directory = room.room.path()
      const first = await open(directory)
      await first.flow.run(undefined, { id: 'id' })
      await first.runtime.close()
      const second = await open(directory, 'one')
      const run = second.flow.run(undefined, { id: 'id', cache: false })
      await second.dead
      await Promise.all([second.runtime.close(), assert.rejects(run)])
      assert.equal(second.model.calls, 1)

      const third = await open(directory)
      assert.deepEqual(await third.flow.run(undefined, { id: 'id', cache }), all)
      assert.equal(third.model.calls, cache ? 1 : 2)
      const outline = toOutline(third.runtime.events)
      assert.deepEqual(
        outline.map((line) => line.endsWith(' reused')),
        cache ? [true, true, false, false] : [false, false, false, false],
      )
      await third.runtime.close()
      const fourth = await open(directory)
      await fourth.flow.run(undefined, { id: 'id' })
      assert.equal(fourth.model.calls, 0)
      await fourth.runtime.close()
    })
})
