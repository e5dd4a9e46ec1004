/** A vanilla agent: no store, same machine. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Model, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { createActor, waitFor } from 'xstate'
import { z } from 'zod'
import { callNote, echo, lastPrompt, noteRounds, noteTool, testAgent } from '../support/runtime-room.ts'

describe('a vanilla agent', () => {
  test('goes on with its conversation from turn to turn', async () => {
    const model = scriptedModel(({ messages }) => messages.map(({ content }) => content).join(' '))
    const agent = testAgent(model)
    assert.deepEqual((await agent.run('a')).output, 'a')
    const second = await agent.run('b')
    assert.deepEqual([second.output, second.checkpoint, second.turn, second.reused], ['a a b', 'default_2', 2, false])
  })

  test('executes tools and says what the turn cost', async () => {
    const { note, notes } = noteTool()
    const { output, spend } = await testAgent(scriptedModel(noteRounds(2)), {}, [note]).run('go')
    assert.equal(output, 'noted go 1, noted go 2')
    assert.deepEqual(notes, ['go 1', 'go 2'])
    assert.deepEqual([spend.modelCalls, spend.toolCalls, spend.unpricedCalls], [3, 2, 3])
    assert.ok(spend.inputTokens > 0 && spend.outputTokens > 0)
  })

  test('lets a second turn wait for the first', async () => {
    const release = Promise.withResolvers<void>()
    const model = scriptedModel((request) => ({
      text: echo(request),
      until: lastPrompt(request) === 'a' ? release.promise : Promise.resolve(),
    }))
    const agent = testAgent(model)
    const runs = [agent.run('a'), agent.run('b')]
    release.resolve()
    assert.deepEqual(
      (await Promise.all(runs)).map(({ output, turn }) => [output, turn]),
      [
        ['a!', 1],
        ['b!', 2],
      ],
    )
    assert.equal(model.requests[1]?.messages.length, 3)
  })

  test('hands out text as it arrives', async () => {
    const deltas: string[] = []
    await testAgent(scriptedModel([{ deltas: ['one ', 'two'] }])).run('go', { onText: (delta) => deltas.push(delta) })
    assert.deepEqual(deltas, ['one ', 'two'])
  })

  test('ends a turn by its signal and goes on with the next prompt', async () => {
    const asked = Promise.withResolvers<void>()
    const model = scriptedModel((request) => {
      asked.resolve()
      return lastPrompt(request) === 'a' ? { fault: 'hang' } : 'fine'
    })
    const agent = testAgent(model)
    const abort = new AbortController()
    const run = agent.run('a', { signal: abort.signal })
    await asked.promise
    abort.abort()
    await assert.rejects(run, { code: 'ABORTED' })
    await assert.rejects(agent.run('b', { signal: AbortSignal.abort() }), { code: 'ABORTED' })
    assert.equal((await agent.run('c')).output, 'fine')
  })

  test('rejects with the error of the model, and can be asked again', async () => {
    const agent = testAgent(scriptedModel([{ fault: { status: 401 } }, 'fine']))
    await assert.rejects(agent.run('a'), { code: 'MODEL_UNAUTHORIZED' })
    assert.equal((await agent.run('b')).output, 'fine')
  })

  test('tells the model of a tool that throws, does not exist or does not take the arguments', async () => {
    const broken = tool({
      name: 'broken',
      description: 'Throws',
      input: z.object({ n: z.number() }),
      run: () => {
        throw new Error('out of order')
      },
    })
    const model = scriptedModel([
      {
        toolCalls: [
          { name: 'broken', arguments: { n: 1 } },
          { name: 'broken', arguments: { n: 'one' } },
          { name: 'broken', arguments: '{"n":' },
          { name: 'missing' },
        ],
      },
      { text: 'I see.' },
    ])
    const { output } = await testAgent(model, {}, [broken]).run('go')
    assert.equal(output, 'I see.')
    const told = model.requests[1]?.messages.filter((message) => message.role === 'tool') ?? []
    assert.deepEqual(
      told.map(({ isError }) => isError),
      [true, true, true, true],
    )
    for (const [index, words] of [/out of order/, /number/, /JSON/, /no tool `missing`.*broken/].entries())
      assert.match(told[index]?.content ?? '', words)
  })

  test('stops at maxSteps', async () => {
    const { note } = noteTool()
    const model = scriptedModel(() => ({ toolCalls: [callNote('again')] }))
    await assert.rejects(testAgent(model, { maxSteps: 3 }, [note]).run('go'), { code: 'MAX_STEPS' })
    assert.equal(model.calls, 3)
  })

  test('a listener that throws does not cost the answer', async () => {
    const thrown = Promise.withResolvers<unknown>()
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.once('uncaughtException', thrown.resolve)
    try {
      const { output } = await testAgent(scriptedModel(['fine'])).run('go', {
        onText: () => {
          throw new Error('of the listener')
        },
      })
      assert.equal(output, 'fine')
      assert.match(String(await thrown.promise), /of the listener/)
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
  })

  test('leaves no listener on a signal that outlives the turn', async () => {
    const counts: number[] = []
    const { signal } = new AbortController()
    let count = 0
    const { addEventListener, removeEventListener } = signal
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      count++
      addEventListener.apply(signal, args)
    }
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      count--
      removeEventListener.apply(signal, args)
    }
    const agent = testAgent(scriptedModel(['a', { fault: 'refusal' }]))
    await agent.run('a', { signal })
    counts.push(count)
    await agent.run('b', { signal }).catch(() => counts.push(count))
    assert.deepEqual(counts, [0, 0])
  })

  test('counts what was billed for nothing', async () => {
    const usage = { inputTokens: 10, outputTokens: 5, cachedInputTokens: 0, reasoningTokens: 0 }
    const model: Model = async (_request, { onRetry }) => {
      onRetry({ attempt: 1, delayMs: 0, error: Object.assign(new Error('cut'), { details: { usage, costUsd: 2 } }) })
      return {
        message: { role: 'assistant', content: 'fine', toolCalls: [] },
        usage,
        costUsd: 1,
        model: 'm',
        responseId: undefined,
      }
    }
    const { spend } = await testAgent(model).run('go')
    assert.deepEqual([spend.costUsd, spend.modelCalls, spend.inputTokens], [3, 2, 20])
  })

  test('is a machine that runs in an actor of yours', async () => {
    const { note } = noteTool()
    const actor = createActor(testAgent(scriptedModel(noteRounds(1)), {}, [note]).machine, { input: {} }).start()
    actor.send({ type: 'prompt', text: 'go' })
    const { context } = await waitFor(actor, (state) => state.hasTag('settled') && state.context.turn === 1)
    assert.equal(context.messages.at(-1)?.content, 'noted go 1')
  })
})
