/** Cancelling flows: what is under way ends, what had settled is kept, and the record says so. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { type FlowContext, isPerdureError } from 'perdure'
import { scriptedModel, testClock } from 'perdure/testing'
import { z } from 'zod'
import { callNote, createRuntimeRoom, noteTool, type RuntimeRoom, testAgent, toOutline } from '../support/runtime-room.ts'

describe('a flow that is cancelled', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const toCode = (error: unknown): unknown => (isPerdureError(error) ? error.code : error)
  const statuses = async (runs: AsyncIterable<{ readonly id: string; readonly status: string }>) => {
    const found: Record<string, string> = {}
    for await (const { id, status } of runs) found[id] = status
    return found
  }

  test('ends its turns, steps, sleeps, waits and questions, and is asked for again in vain until it begins anew', async () => {
    const directory = room.room.path()
    const begin = async (isFirst: boolean) => {
      const runtime = await room.open(directory, { clock: testClock() })
      const streaming = Promise.withResolvers<AbortSignal>()
      const stepping = Promise.withResolvers<AbortSignal>()
      const agent = runtime.durable(
        testAgent((_request, { signal }) => {
          streaming.resolve(signal)
          return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
        }),
      )
      const flow = runtime.flow('flow', async (_input: undefined, { all, step, sleep, waitFor, ask }: FlowContext) => {
        await step('done', () => {})
        if (!isFirst) return 'anew'
        await all([
          () => agent.run('a'),
          () =>
            step('slow', ({ signal }) => {
              stepping.resolve(signal)
              return new Promise(() => {})
            }),
          () => sleep(60_000),
          () => waitFor('go'),
          () => ask('Sure?', z.boolean()),
        ])
        return 'never'
      })
      return { runtime, flow, streaming: streaming.promise, stepping: stepping.promise }
    }
    const { runtime, flow, streaming, stepping } = await begin(true)
    const running = flow.run(undefined, { id: 'run' }).catch((error: unknown) => error)
    const signals = await Promise.all([streaming, stepping])
    const run = runtime.get('run')
    await run.cancel('too slow')
    assert.deepEqual(
      signals.map(({ aborted }) => aborted),
      [true, true],
    )
    const error = await running
    assert.ok(isPerdureError(error, 'RUN_CANCELLED') && error.details.reason === 'too slow')
    assert.deepEqual(await statuses(runtime.runs()), { run: 'cancelled', 'run/all.1/1/default': 'cancelled' })
    for await (const pending of runtime.pending()) assert.fail(`${pending.id} still waits for a person`)
    assert.equal(runtime.events.filter(({ type }) => type === 'run.failed').length, 1)
    await assert.rejects(run.cancel(), (refused) => toCode(refused) === 'RUN_ENDED')
    await assert.rejects(run.send({ type: 'go' }), (refused) => toCode(refused) === 'RUN_ENDED')
    await runtime.close()

    const second = await begin(false)
    await assert.rejects(
      second.flow.run(undefined, { id: 'run' }),
      (again) => isPerdureError(again, 'RUN_CANCELLED') && again.details.reason === 'too slow',
    )
    assert.equal(await second.flow.run(undefined, { id: 'run', cache: false }), 'anew')
    assert.deepEqual(toOutline(second.runtime.events), ['done no-cache'])
    assert.equal(await second.flow.run(undefined, { id: 'run' }), 'anew')
    await second.runtime.close()
  })

  test('need not be in memory: its conversations stop, and its questions are withdrawn', async () => {
    const directory = room.room.path()
    const begin = async () => {
      const runtime = await room.open(directory)
      const calling = Promise.withResolvers<void>()
      const { note } = noteTool(() => {
        calling.resolve()
        return new Promise(() => {})
      })
      const agent = runtime.durable(
        testAgent(
          scriptedModel(() => ({ toolCalls: [callNote('a')] })),
          {},
          [note],
        ),
      )
      const flow = runtime.flow('flow', async (_input: undefined, { all, ask }: FlowContext) => {
        await all([() => agent.run('a'), () => ask('Sure?', z.boolean())])
      })
      return { runtime, flow, calling: calling.promise }
    }
    const first = await begin()
    first.flow.run(undefined, { id: 'run' }).catch(() => {})
    await first.calling
    await first.runtime.close()
    const second = await begin()
    assert.equal((await second.runtime.pending()[Symbol.asyncIterator]().next()).value?.runId, 'run')
    await second.runtime.get('run').cancel()
    assert.deepEqual(await statuses(second.runtime.runs()), { run: 'cancelled', 'run/all.1/1/default': 'cancelled' })
    for await (const pending of second.runtime.pending()) assert.fail(`${pending.id} still waits for a person`)
    assert.equal(second.runtime.events.filter(({ type }) => type === 'run.failed').length, 1)
    await assert.rejects(second.flow.run(undefined, { id: 'run' }), (error) => toCode(error) === 'RUN_CANCELLED')
    await second.runtime.close()
  })

  test('can be cancelled from within, and by two at once', async () => {
    const runtime = await room.open()
    const flow = runtime.flow('flow', async (_input: undefined, { runId, step, signal }: FlowContext) => {
      const run = runtime.get(runId)
      const cancelled = step('cancel', () => Promise.all([run.cancel('one'), run.cancel('two')]))
      await new Promise((resolve) => signal.addEventListener('abort', resolve))
      return cancelled
    })
    await assert.rejects(
      flow.run(undefined, { id: 'run' }),
      (error) => isPerdureError(error, 'RUN_CANCELLED') && error.details.reason === 'one',
    )
    await runtime.close()
  })

  test('has ended when it has come to its end, and there is none that there is none of', async () => {
    const runtime = await room.open()
    const flow = runtime.flow('flow', async (input: string) => {
      if (input === 'fails') throw new Error('on purpose')
    })
    await flow.run('ends', { id: 'ended' })
    await flow.run('fails', { id: 'failed' }).catch(() => {})
    for (const [id, code] of [
      ['ended', 'RUN_ENDED'],
      ['failed', 'RUN_ENDED'],
      ['none', 'RUN_NOT_FOUND'],
    ] as const)
      await assert.rejects(runtime.get(id).cancel(), (error) => toCode(error) === code)
    await runtime.close()
  })

  test('and a runtime that closes leaves its question open, a signal of its own takes it back', async () => {
    const directory = room.room.path()
    const begin = async () => {
      const runtime = await room.open(directory)
      const flow = runtime.flow('flow', (_input: undefined, { ask }: FlowContext) => ask('Sure?', z.boolean()))
      const asked = Promise.withResolvers<void>()
      runtime.subscribe(({ type, ...event }) => {
        if (type === 'checkpoint.started' && 'checkpoint' in event) asked.resolve()
      })
      return { runtime, flow, asked: asked.promise }
    }
    const count = async (items: AsyncIterable<unknown>): Promise<number> => {
      let found = 0
      for await (const _ of items) found++
      return found
    }
    const first = await begin()
    first.flow.run(undefined, { id: 'run' }).catch(() => {})
    await first.asked
    await first.runtime.close()
    const second = await begin()
    assert.equal(await count(second.runtime.pending()), 1)
    const ending = new AbortController()
    const refused = assert.rejects(
      second.flow.run(undefined, { id: 'run', signal: ending.signal }),
      (error) => toCode(error) === 'ABORTED',
    )
    await second.asked
    ending.abort()
    await refused
    assert.equal(await count(second.runtime.pending()), 0)
    await second.runtime.close()
    const third = await begin()
    const answered = third.flow.run(undefined, { id: 'run' })
    await third.asked
    assert.equal(await count(third.runtime.pending()), 1)
    await third.runtime.get('run').answer('ask/ask', false)
    assert.equal(await answered, false)
    await third.runtime.close()
  })
})
