/** What the SDK's in-memory exporter gets of runs: names, parents, attributes, and one trace however often a run is taken up. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace-base'
import { fromStep, type Model, tool } from 'perdure'
import { traceRuntime } from 'perdure/otel'
import { scriptedModel } from 'perdure/testing'
import { setup } from 'xstate'
import { z } from 'zod'
import { callNote, createRuntimeRoom, echo, lastPrompt, noteTool, type RuntimeRoom, testAgent } from '../support/runtime-room.ts'
import { createTelemetryRoom, toTree } from '../support/telemetry-room.ts'

const usage = { inputTokens: 8, outputTokens: 2, cachedInputTokens: 1, reasoningTokens: 0 }
/** Two notes at once, then the end. */
const twoNotes = (): Model => {
  const model = scriptedModel(({ messages }) =>
    messages.at(-1)?.role === 'tool'
      ? { text: 'done', usage, costUsd: 0.5 }
      : { toolCalls: [callNote('a'), callNote('b')], usage, costUsd: 0.25 },
  )
  return async (...call) => ({ ...(await model(...call)), responseId: 'resp_1' })
}

describe('traceRuntime', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('makes one trace of a run: the flow, its turns and steps, their calls, parallel ones beside each other', async () => {
    const otel = createTelemetryRoom()
    const runtime = await room.open()
    using _ = traceRuntime(runtime, otel)
    const { note } = noteTool()
    const agent = runtime.durable(testAgent(twoNotes(), {}, [note]))
    const flow = runtime.flow('report', async (_input: undefined, { step }) => {
      await agent.run('go')
      return step('save', () => 1)
    })
    await flow.run(undefined, { id: 'r' })
    assert.deepEqual(toTree(otel.spans()), [
      'run report < –',
      'chat test-model < invoke_agent default',
      'execute_tool note < invoke_agent default',
      'execute_tool note < invoke_agent default',
      'chat test-model < invoke_agent default',
      'invoke_agent default < flow report',
      'step save < flow report',
      'flow report < run report',
    ])
    assert.equal(new Set(otel.spans().map((span) => span.spanContext().traceId)).size, 1)
    const { 'perdure.call.key': key, ...chat } = otel.find('chat test-model').attributes
    assert.match(String(key), /^call\//)
    assert.deepEqual(chat, {
      'perdure.run.id': 'r/default',
      'perdure.attempt': 1,
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': 'test-model',
      'gen_ai.conversation.id': 'r/default',
      'gen_ai.usage.input_tokens': 8,
      'gen_ai.usage.output_tokens': 2,
      'gen_ai.usage.cache_read.input_tokens': 1,
      'perdure.cost.usd': 0.5,
      'gen_ai.response.model': 'test-model',
      'gen_ai.response.id': 'resp_1',
    })
    const calls = otel.spans().filter(({ name }) => name === 'execute_tool note')
    assert.equal(new Set(calls.map(({ attributes }) => attributes['gen_ai.tool.call.id'])).size, 2)
    const { 'perdure.checkpoint': __, ...turn } = otel.find('invoke_agent default').attributes
    assert.deepEqual(
      [turn['gen_ai.agent.name'], turn['gen_ai.usage.input_tokens'], turn['perdure.cost.usd']],
      ['default', 16, 0.75],
    )
  })

  test('goes on with the trace after a restart, links to the attempt before, and says what was not paid again', async () => {
    const directory = room.room.path()
    const traces: string[] = []
    const hung = Promise.withResolvers<void>()
    for (const life of [1, 2]) {
      const otel = createTelemetryRoom()
      const runtime = await room.open(directory)
      const telemetry = traceRuntime(runtime, otel)
      const settled = Promise.withResolvers<void>()
      runtime.subscribe((event) => event.type === 'call.settled' && event.kind === 'tool' && settled.resolve())
      const { note } = noteTool((text) => {
        if (life !== 1 || text !== 'b') return
        hung.resolve()
        return new Promise(() => {})
      })
      const agent = runtime.durable(testAgent(twoNotes(), {}, [note]))
      const flow = runtime.flow('report', () => agent.run('go'))
      const ended = flow.run(undefined, { id: 'r' })
      if (life === 1) {
        ended.catch(() => {})
        await hung.promise
        await settled.promise
      } else await ended
      await runtime.close()
      telemetry.unsubscribe()
      traces.push(...otel.spans().map((span) => span.spanContext().traceId))
      if (life === 1) {
        assert.equal(otel.find('invoke_agent default').attributes['perdure.interrupted'], true)
        assert.deepEqual(
          otel.spans().filter(({ name }) => name.startsWith('run ')).length,
          1,
          'the process that begins a run tells of its root',
        )
        firstLife.push(...otel.spans().map((span) => `${span.name} ${span.spanContext().spanId}`))
        continue
      }
      assert.deepEqual(toTree(otel.spans()), [
        'execute_tool note < invoke_agent default', // it is found out what it came to
        'execute_tool note < invoke_agent default',
        'chat test-model < invoke_agent default',
        'invoke_agent default < flow report',
        'flow report < –',
      ])
      const linked = ['flow report', 'invoke_agent default', 'execute_tool note'].map((name) => {
        const [link] = otel.find(name).links
        return `${name} ${link?.context.spanId}`
      })
      for (const line of linked) assert.ok(firstLife.includes(line), `${line} is none of ${firstLife}`)
      assert.equal(otel.find('execute_tool note').attributes['perdure.in_doubt'], true)
      assert.equal(otel.find('invoke_agent default').attributes['perdure.reused.calls'], 2)
      assert.equal(await otel.sum('perdure.in_doubt', { 'perdure.resolution': 'retried' }), 1)
      assert.equal(await otel.sum('perdure.reused.cost'), 0.25)
      assert.equal(await otel.sum('perdure.cost'), 0.5)
    }
    assert.equal(new Set(traces).size, 1)
  })
  const firstLife: string[] = []

  test('says that a doubt was settled by what the outside world told', async () => {
    const directory = room.room.path()
    const hung = Promise.withResolvers<void>()
    const otel = createTelemetryRoom()
    for (const life of [1, 2]) {
      const runtime = await room.open(directory)
      using _ = traceRuntime(runtime, otel)
      const pay = tool({
        name: 'pay',
        description: 'Pays',
        input: z.object({}),
        recover: () => ({ status: 'settled', value: 'paid' }) as const,
        run() {
          hung.resolve()
          return new Promise<string>(() => {})
        },
      })
      const model = scriptedModel(({ messages }) =>
        messages.at(-1)?.role === 'tool' ? 'ok' : { toolCalls: [{ name: 'pay', arguments: {} }] },
      )
      const session = runtime.durable(testAgent(model, {}, [pay])).session('s')
      if (life === 1) {
        session.run('go').catch(() => {})
        await hung.promise
      } else await session.resume()
      await runtime.close()
    }
    const { attributes } = otel.find('execute_tool pay')
    assert.deepEqual([attributes['perdure.recovering'], attributes['perdure.resolution']], [true, 'recovered'])
    assert.equal(await otel.sum('perdure.in_doubt', { 'perdure.resolution': 'recovered', 'gen_ai.tool.name': 'pay' }), 1)
    assert.equal(new Set(otel.spans().map((span) => span.spanContext().traceId)).size, 1)
  })

  test('puts an agent that works for a call below that call, in the same trace', async () => {
    const otel = createTelemetryRoom()
    const runtime = await room.open()
    using _ = traceRuntime(runtime, otel)
    const worker = testAgent(
      scriptedModel(() => ({ text: 'w', usage, costUsd: 1 })),
      { name: 'worker' },
    )
    const model = scriptedModel(({ messages }) =>
      messages.at(-1)?.role === 'tool'
        ? { text: 'done', usage, costUsd: 1 }
        : { toolCalls: [{ name: 'worker', arguments: { prompt: lastPrompt({ messages }) } }], usage, costUsd: 1 },
    )
    const boss = testAgent(model, { name: 'boss' }, [worker.asTool({ description: 'Works' })])
    await runtime.durable(boss).session('s').run('go')
    assert.deepEqual(toTree(otel.spans()).slice(2), [
      'chat test-model < invoke_agent worker',
      'invoke_agent worker < execute_tool worker',
      'execute_tool worker < invoke_agent boss',
      'chat test-model < invoke_agent boss',
      'invoke_agent boss < run boss',
    ])
    assert.equal(new Set(otel.spans().map((span) => span.spanContext().traceId)).size, 1)
    assert.equal(await otel.sum('perdure.cost'), 3)
    assert.equal(await otel.sum('gen_ai.client.token.usage', { 'gen_ai.token.type': 'input' }), 24)
  })

  test('marks what failed by its code, what is tried again, and what was cancelled', async () => {
    const otel = createTelemetryRoom()
    const runtime = await room.open()
    using _ = traceRuntime(runtime, otel)
    let tries = 0
    const flaky = tool({
      name: 'flaky',
      description: 'Fails at first',
      input: z.object({}),
      effect: 'none',
      retry: { maxAttempts: 2, delayMs: 0 },
      run() {
        if (tries++ === 0) throw new RangeError('secret words')
        return 'ok'
      },
    })
    const model = scriptedModel(({ messages }) =>
      messages.at(-1)?.role === 'tool' ? 'ok' : { toolCalls: [{ name: 'flaky', arguments: {} }] },
    )
    await runtime
      .durable(testAgent(model, {}, [flaky]))
      .session('a')
      .run('go')
    const [first, second] = otel.spans().filter(({ name }) => name === 'execute_tool flaky')
    assert.ok(first?.attributes['error.type'])
    assert.equal(second?.attributes['error.type'], undefined)
    assert.equal(second?.links[0]?.context.spanId, first.spanContext().spanId)

    const started = Promise.withResolvers<void>()
    const slow = testAgent(
      Object.assign(
        async (_request: unknown, { signal }: { signal: AbortSignal }) => {
          started.resolve()
          await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
          throw new Error('never')
        },
        { provider: 'acme' },
      ),
    )
    const stop = new AbortController()
    const ended = runtime.durable(slow).session('b').run('go', { signal: stop.signal })
    await started.promise
    stop.abort()
    await assert.rejects(ended)
    assert.equal(otel.find('invoke_agent default').attributes['error.type'], 'ABORTED')
    assert.equal(otel.find('invoke_agent default').attributes['gen_ai.provider.name'], 'acme')
    assert.equal(otel.find('chat test-model').attributes['gen_ai.provider.name'], 'acme')
    assert.doesNotMatch(
      JSON.stringify(otel.spans().map(({ attributes, events, status }) => [attributes, events, status])),
      /secret words/,
    )
  })

  test('leaves prompts, answers, arguments and results out, unless they are asked for', async () => {
    for (const content of [false, true]) {
      const otel = createTelemetryRoom()
      const runtime = await room.open()
      using _ = traceRuntime(runtime, { ...otel, content })
      const { note } = noteTool()
      await runtime
        .durable(testAgent(twoNotes(), { systemPrompt: 'Whisper.' }, [note]))
        .session('s')
        .run('Hi there')
      const told = JSON.stringify(otel.spans().map(({ attributes }) => attributes))
      for (const words of ['Whisper.', 'Hi there', 'noted a', 'done'])
        assert.equal(told.includes(words), content, `${words} ${content ? 'is missing' : 'is told'}`)
      if (!content) continue
      const { attributes } = otel.find('chat test-model')
      assert.deepEqual(JSON.parse(String(attributes['gen_ai.output.messages'])), [
        { role: 'assistant', parts: [{ type: 'text', content: 'done' }], finish_reason: 'stop' },
      ])
      assert.equal(JSON.parse(String(attributes['gen_ai.input.messages'])).length, 4)
    }
  })

  test('needs the API alone: without the id generator a restart is in the same trace too', async () => {
    const directory = room.room.path()
    const traces: string[] = []
    for (const prompt of ['one', 'two']) {
      const otel = createTelemetryRoom({ isNamed: false })
      const runtime = await room.open(directory)
      using _ = traceRuntime(runtime, otel)
      await runtime
        .durable(testAgent(scriptedModel(echo)))
        .session('s')
        .run(prompt)
      await runtime.close()
      assert.deepEqual(toTree(otel.spans()), ['chat test-model < invoke_agent default', 'invoke_agent default < –'])
      traces.push(...otel.spans().map((span) => span.spanContext().traceId))
    }
    assert.equal(new Set(traces).size, 1)
  })

  test('a run that begins under the id of one that was deleted has a trace of its own', async () => {
    const otel = createTelemetryRoom()
    let time = 1_000_000
    const runtime = await room.open(undefined, {
      clock: { now: () => time++, setTimeout, clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout) },
    })
    using _ = traceRuntime(runtime, otel)
    const flow = runtime.flow('f', async () => 1)
    for (const __ of [1, 2]) {
      await flow.run(undefined, { id: 'same' })
      await runtime.delete('same')
    }
    assert.equal(new Set(otel.spans().map((span) => span.spanContext().traceId)).size, 2)
  })

  test('a sampler keeps a run or drops it, as a whole', async () => {
    const kept = new Map<string, number>()
    for (const id of Array.from({ length: 12 }, (_, index) => `r${index}`)) {
      const otel = createTelemetryRoom({ sampler: new TraceIdRatioBasedSampler(0.5) })
      const runtime = await room.open()
      using _ = traceRuntime(runtime, otel)
      await runtime.flow('f', async (_input: undefined, { step }) => step('s', () => 1)).run(undefined, { id })
      kept.set(id, otel.spans().length)
    }
    for (const [id, count] of kept) assert.ok(count === 0 || count === 3, `${id} has ${count} spans`)
  })

  test('tells of a machine: its steps, its end and its failure', async () => {
    const otel = createTelemetryRoom()
    const work = fromStep(async () => 1)
    const machine = setup({ actors: { work } }).createMachine({
      id: 'm',
      initial: 'a',
      states: { a: { invoke: { src: 'work', onDone: 'b' } }, b: { type: 'final' } },
    })
    const runtime = await room.open(undefined, { machines: [machine] })
    using _ = traceRuntime(runtime, otel)
    const run = await runtime.start(machine, { id: 'm-1' })
    await run.done()
    assert.deepEqual(toTree(otel.spans()), ['run m < –', 'step work < run m', 'machine m < run m'])
  })

  test('measures commits, and hears nothing more once it is told to stop', async () => {
    const otel = createTelemetryRoom()
    const runtime = await room.open()
    const telemetry = traceRuntime(runtime, otel)
    const flow = runtime.flow('f', async () => 1)
    await flow.run(undefined, { id: '1' })
    const size = await otel.sum('perdure.commit.size')
    assert.ok(size > 0)
    assert.ok((await otel.sum('perdure.commit.duration')) > 0)
    telemetry.unsubscribe()
    telemetry.unsubscribe()
    const count = otel.spans().length
    await flow.run(undefined, { id: '2' })
    assert.equal(await otel.sum('perdure.commit.size'), size)
    assert.equal(otel.spans().length, count)
  })
})
