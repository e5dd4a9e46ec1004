/** P7: a run has one owner, and nobody waits for itself. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { isPerdureError, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { createRuntimeRoom, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

const conflict = (error: unknown): boolean => isPerdureError(error, 'RUN_CONFLICT')

describe('the owner of a run', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('a flow and a session whose ids come to one run do not both have it', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(() => 'pong')))
    const flow = runtime.flow('flow', async () => (await agent.run('ping')).output)
    const both = await Promise.allSettled([flow.run('input', { id: 'default/s' }), agent.session('s').run('hello')])
    const refused = both.filter((each) => each.status === 'rejected')
    assert.equal(refused.length, 1)
    assert.ok(refused.every(({ reason }) => conflict(reason)))
  })

  test('a session does not go on with the conversation of a flow', async () => {
    const directory = room.room.path('store')
    {
      const runtime = await room.open(directory)
      const agent = runtime.durable(testAgent(scriptedModel(() => 'pong')))
      await runtime.flow('flow', async () => (await agent.run('ping')).output).run('input', { id: 'default' })
      await runtime.close()
    }
    const runtime = await room.open(directory)
    const agent = runtime.durable(testAgent(scriptedModel(() => 'pong')))
    await assert.rejects(agent.session('default').run('hello'), conflict)
  })

  test('a tool that asks its own conversation is refused instead of waiting for itself', async () => {
    const runtime = await room.open()
    const seen: unknown[] = []
    const ask = tool({
      name: 'ask',
      description: 'Asks the agent itself',
      input: z.object({}),
      run: (): Promise<unknown> => durable.run('again').catch((error) => seen.push(error)),
    })
    const model = scriptedModel(({ messages }) => (messages.at(-1)?.role === 'user' ? { toolCalls: [{ name: 'ask' }] } : 'done'))
    const durable = runtime.durable(testAgent(model, {}, [ask]))
    assert.equal((await durable.run('Begin')).output, 'done')
    assert.ok(seen.length === 1 && conflict(seen[0]))
  })

  test('a turn whose signal aborts while it waits for another fails at once and leaves no gap', async () => {
    const runtime = await room.open()
    const { promise, resolve } = Promise.withResolvers<void>()
    const model = scriptedModel(({ messages }) => ({
      text: `${messages.length}`,
      ...(messages.length === 1 ? { until: promise } : {}),
    }))
    const agent = runtime.durable(testAgent(model))
    const controller = new AbortController()
    const flow = runtime.flow('queue', async () => {
      const first = agent.run('first')
      const second = agent.run('second', { signal: controller.signal })
      controller.abort()
      await assert.rejects(second, (error) => isPerdureError(error, 'ABORTED'))
      resolve()
      return [await first, await agent.run('third')].map(({ output, checkpoint }) => `${checkpoint} ${output}`)
    })
    assert.deepEqual(await flow.run('input'), ['default 1', 'default_2 3'])
  })

  test('a turn that nobody awaits does not end the process', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(() => ({ text: 'late', until: new Promise(() => {}) }))))
    const flow = runtime.flow('floating', async () => {
      void agent.run('never awaited')
      return 'done'
    })
    assert.equal(await flow.run('input'), 'done')
  })

  test('a turn that was cut off before a deploy changed the agent goes on and is not begun anew', async () => {
    const directory = room.room.path('store')
    let effects = 0
    const refund = tool({ name: 'refund', description: 'Pays back', input: z.object({}), run: () => `refund ${++effects}` })
    const { promise: reached, resolve: onReached } = Promise.withResolvers<void>()
    {
      const runtime = await room.open(directory)
      const model = scriptedModel(({ messages }) => {
        if (messages.at(-1)?.role === 'user') return { toolCalls: [{ name: 'refund' }] }
        onReached()
        return { text: 'never', until: new Promise(() => {}) }
      })
      const session = runtime.durable(testAgent(model, {}, [refund])).session('s')
      const turn = session.run('Refund order 7')
      turn.catch(() => {})
      await reached
      await runtime.close()
      await assert.rejects(turn)
    }
    const runtime = await room.open(directory)
    const model = scriptedModel(({ messages }) =>
      messages.at(-1)?.role === 'user' ? { toolCalls: [{ name: 'refund' }] } : 'refunded',
    )
    const agent = testAgent(model, { systemPrompt: 'Another prompt.' }, [refund])
    assert.equal((await runtime.durable(agent).session('s').run('Refund order 7')).output, 'refunded')
    assert.equal(effects, 1)
  })

  test('a rewind that is cut off before its turn begins takes nothing away', async () => {
    const directory = room.room.path('store')
    const attempt = async (prompt: string, fail: boolean, interrupt: boolean) => {
      const controller = new AbortController()
      const runtime = await room.open(directory)
      const model = scriptedModel(({ messages }) => `${messages.length}`)
      const agent = runtime.durable(testAgent(model))
      const flow = runtime.flow('rewind', async () => {
        const outputs = []
        if (interrupt) queueMicrotask(() => setImmediate(() => controller.abort()))
        for (const text of [prompt, 'b', 'c']) outputs.push((await agent.run(text)).output)
        if (fail) throw new Error('later')
        return outputs
      })
      const result = await flow.run('input', { signal: controller.signal }).catch((error: Error) => error.message)
      await runtime.close()
      return { result, calls: model.calls }
    }
    assert.equal((await attempt('a', true, false)).result, 'later')
    await attempt('edited', false, true)
    const { result } = await attempt('a', false, false)
    assert.deepEqual(result, ['1', '3', '5'])
  })
})
