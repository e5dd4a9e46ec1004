/** What listeners hear: everything, in order, once; and what they do disturbs nothing. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { openRuntime, type RuntimeEvent } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { createRuntimeRoom, echo, noteRounds, noteTool, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'

describe('events', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('tell a run from its start to its end, at the time that it is', async () => {
    let time = 1000
    const runtime = await room.open(undefined, {
      clock: { now: () => time++, setTimeout, clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout) },
    })
    const { note } = noteTool()
    const agent = runtime.durable(testAgent(scriptedModel(noteRounds(1)), {}, [note]))
    const flow = runtime.flow('flow', async (_input: undefined, { step }) => {
      await agent.run('go')
      return step('step', () => 1)
    })
    await flow.run(undefined, { id: 'id' })
    assert.deepEqual(
      runtime.events.map(({ type }) => type),
      [
        'run.started',
        'checkpoint.started',
        'call.started',
        'call.settled',
        'call.started',
        'call.settled',
        'call.started',
        'text.received',
        'text.received',
        'text.received',
        'call.settled',
        'checkpoint.finished',
        'checkpoint.started',
        'checkpoint.finished',
        'run.completed',
      ],
    )
    const times = runtime.events.map(({ time }) => time)
    assert.deepEqual(times, times.toSorted())
    assert.ok(times.every((time) => time >= 1000 && time < 1100))
    for (const event of runtime.events) assert.ok(event.runId === 'id' || event.runId === 'id/default')
    await runtime.close()
  })

  test('name a turn’s run the same whether it executes or comes from the store', async () => {
    const directory = room.room.path()
    const ids: string[] = []
    for (const fails of [true, true]) {
      const runtime = await room.open(directory)
      const agent = runtime.durable(testAgent(scriptedModel(echo)))
      const flow = runtime.flow('flow', async () => {
        await agent.run('a')
        if (fails) throw new Error('on purpose')
      })
      await assert.rejects(flow.run(undefined, { id: 'id' }))
      ids.push(...runtime.events.filter(({ type }) => /^checkpoint\.(started|reused)/.test(type)).map(({ runId }) => runId))
      await runtime.close()
    }
    assert.deepEqual(ids, ['id/default', 'id/default'])
  })

  test('say which calls of a turn that is taken up come from the store', async () => {
    const directory = room.room.path()
    const story: string[][] = []
    for (const maxSteps of [2, 3]) {
      const runtime = await room.open(directory)
      const { note } = noteTool()
      const agent = runtime.durable(testAgent(scriptedModel(noteRounds(2)), { maxSteps }, [note]))
      await agent.run('go').catch(() => {})
      story.push(
        runtime.events.flatMap((event) =>
          'key' in event && event.type !== 'text.received' ? [`${event.type} ${event.key}`] : [],
        ),
      )
      await runtime.close()
    }
    assert.equal(story[0]?.length, 8)
    assert.deepEqual(story[1], ['call.started call/000001.1/m003', 'call.settled call/000001.1/m003'])
  })

  test('reach who subscribes until they leave', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(echo)))
    const heard: RuntimeEvent[] = []
    const { unsubscribe } = runtime.subscribe((event) => heard.push(event))
    await agent.run('a')
    const count = heard.length
    assert.deepEqual(heard, runtime.events)
    unsubscribe()
    await agent.run('b')
    assert.equal(heard.length, count)
    assert.ok(runtime.events.length > count)
    await runtime.close()
  })

  test('a listener that throws disturbs neither the run nor the others; its error is not swallowed', async () => {
    const thrown: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => thrown.push(error))
    try {
      const heard: string[] = []
      const runtime = await openRuntime({
        directory: room.room.path(),
        log: 'silent',
        onEvent: ({ type }) => {
          throw new Error(type)
        },
      })
      runtime.subscribe(({ type }) => heard.push(type))
      const agent = runtime.durable(testAgent(scriptedModel(echo)))
      const flow = runtime.flow('flow', () =>
        agent.run('a', {
          onText: () => {
            throw new Error('onText')
          },
        }),
      )
      assert.equal((await flow.run(undefined)).output, 'a!')
      await runtime.close()
      const messages = thrown.map((error) => (error instanceof Error ? error.message : ''))
      assert.deepEqual(
        messages.filter((message) => message !== 'onText'),
        heard,
      )
      assert.ok(messages.includes('onText'))
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
  })

  test('text reaches its turn only, in order', async () => {
    const runtime = await room.open()
    const model = scriptedModel((request) => ({ deltas: [`${request.systemPrompt}1 `, `${request.systemPrompt}2`] }))
    const heard = new Map<string, string>()
    const agents = ['a', 'b'].map((name) => runtime.durable(testAgent(model, { name, systemPrompt: name })))
    await Promise.all(
      agents.map((agent) =>
        agent.run('go', {
          onText: (delta) => heard.set(agent.profile.name, (heard.get(agent.profile.name) ?? '') + delta),
        }),
      ),
    )
    assert.deepEqual(Object.fromEntries(heard), { a: 'a1 a2', b: 'b1 b2' })
    await runtime.close()
  })

  test('no listener stays on a signal that outlives its runs', async () => {
    const runtime = await room.open()
    const agent = runtime.durable(testAgent(scriptedModel(echo)))
    const { signal } = new AbortController()
    let count = 0
    const { addEventListener, removeEventListener } = signal
    Object.assign(signal, {
      addEventListener: (...args: Parameters<typeof addEventListener>) => {
        count++
        addEventListener.apply(signal, args)
      },
      removeEventListener: (...args: Parameters<typeof removeEventListener>) => {
        count--
        removeEventListener.apply(signal, args)
      },
    })
    await agent.run('a', { signal })
    await agent.session('x').run('a', { signal })
    assert.equal(count, 0)
    await runtime.close()
  })
})
