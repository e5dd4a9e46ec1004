/** What a death in the middle of a turn costs, by strategy, and what is said about it: spend (P12) and bytes (P6). */
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { after, before, describe, test } from 'node:test'
import type { CheckpointStrategy, Spend } from 'perdure'
import { type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import { createCommitter } from '../../src/persistence/commit.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { Store } from '../../src/persistence/store.ts'
import { NO_STANDING } from '../../src/runtime/attempt.ts'
import { createChildAgents } from '../../src/runtime/child-agent.ts'
import { createClaims } from '../../src/runtime/claims.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { openConversation } from '../../src/runtime/conversation.ts'
import { toTurnFingerprint } from '../../src/runtime/durable-agent.ts'
import { createEffects } from '../../src/runtime/effects.ts'
import { createInspection } from '../../src/runtime/inspection.ts'
import { createQuestions } from '../../src/runtime/questions.ts'
import type { Services } from '../../src/runtime/services.ts'
import { createStreams } from '../../src/runtime/stream-hooks.ts'
import { createTimerQueue } from '../../src/runtime/timer-queue.ts'
import {
  callNote,
  createRuntimeRoom,
  noteRounds,
  noteTool,
  type RuntimeRoom,
  testAgent,
  toOutline,
} from '../support/runtime-room.ts'

const priced = (answer: ScriptedAnswer): ScriptedAnswer => ({
  ...answer,
  costUsd: 1,
  usage: { inputTokens: 10, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 },
})
const bill = ({ costUsd, modelCalls, toolCalls, inputTokens }: Spend) => ({ costUsd, modelCalls, toolCalls, inputTokens })

describe('a turn in which the process dies', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  const attempt = async (directory: string, checkpoint: CheckpointStrategy, dieAt?: number) => {
    const { note, notes } = noteTool()
    const runtime = await room.open(directory)
    const dead = Promise.withResolvers<void>()
    const model = scriptedModel((request, call) => {
      if (call !== dieAt) return priced(noteRounds(2)(request))
      dead.resolve()
      return { fault: 'hang' }
    })
    const agent = runtime.durable(testAgent(model, {}, [note]), { checkpoint })
    const flow = runtime.flow('flow', async () => {
      const { output, spend } = await agent.run('go')
      return { output, spend: bill(spend) }
    })
    const run = flow.run(undefined).catch(() => undefined)
    if (dieAt !== undefined) {
      await dead.promise
      await runtime.close()
    }
    const result = await run
    await runtime.close()
    const end = runtime.events.find((event) => event.type === 'run.completed' || event.type === 'run.failed')
    assert.ok(end && 'receipt' in end)
    const { reused, spent, repeated } = end.receipt
    const receipt = { reused: bill(reused), spent: bill(spent), repeated, checkpoints: [reused.checkpoints, spent.checkpoints] }
    return { result, receipt, calls: model.calls, notes, outline: toOutline(runtime.events).join() }
  }
  /** `lost`: calls that were in flight at a death, with the tokens of their requests by estimate. */
  const cost = (modelCalls: number, toolCalls: number, lost = { calls: 0, inputTokens: 0 }) => ({
    costUsd: modelCalls,
    modelCalls: modelCalls + lost.calls,
    toolCalls,
    inputTokens: modelCalls * 10 + lost.inputTokens,
  })

  test('goes on after its last settled call (calls)', async () => {
    const directory = room.room.path()
    const first = await attempt(directory, 'calls', 3)
    assert.deepEqual(first.receipt, {
      reused: cost(0, 0),
      spent: cost(2, 2),
      repeated: { modelCalls: 0, toolCalls: 0 },
      checkpoints: [0, 0],
    })
    const second = await attempt(directory, 'calls')
    const lost = { calls: 1, inputTokens: 42 }
    assert.deepEqual(second.result, { output: 'noted go 1, noted go 2', spend: cost(3, 2, lost) })
    assert.deepEqual([second.calls, second.notes, second.outline], [1, [], 'default resumed'])
    assert.deepEqual(second.receipt, {
      reused: cost(2, 2),
      spent: cost(1, 0, lost),
      repeated: { modelCalls: 1, toolCalls: 0 },
      checkpoints: [0, 1],
    })
  })

  test('goes on also when it dies in each of its calls', async () => {
    const directory = room.room.path()
    for (let death = 0; death < 3; death++) await attempt(directory, 'calls', death === 0 ? 1 : 2)
    const last = await attempt(directory, 'calls')
    // Once in the first call, and once in each of the two others.
    assert.deepEqual(last.result, { output: 'noted go 1, noted go 2', spend: cost(3, 2, { calls: 3, inputTokens: 105 }) })
    assert.equal(last.calls, 1)
  })

  test('runs again from its start (turn), and what was paid in vain is in what it cost', async () => {
    const directory = room.room.path()
    await attempt(directory, 'turn', 3)
    const second = await attempt(directory, 'turn')
    assert.deepEqual(second.result, { output: 'noted go 1, noted go 2', spend: cost(5, 4, { calls: 1, inputTokens: 0 }) })
    assert.deepEqual([second.calls, second.notes, second.outline], [3, ['go 1', 'go 2'], 'default resumed'])
    assert.deepEqual(second.receipt, {
      reused: cost(0, 0),
      spent: cost(3, 2),
      repeated: { modelCalls: 3, toolCalls: 2 },
      checkpoints: [0, 1],
    })
  })

  test('may change its strategy', async () => {
    for (const [before, after, calls] of [
      ['turn', 'calls', 1],
      ['calls', 'turn', 3],
    ] as const) {
      const directory = room.room.path()
      await attempt(directory, before, 3)
      assert.equal((await attempt(directory, after)).calls, calls)
    }
  })
})

describe('what a turn cost', () => {
  let room: RuntimeRoom
  before(async () => {
    room = await createRuntimeRoom()
  })
  after(() => room.remove())

  test('holds what was billed and failed, over restarts', async () => {
    const directory = room.room.path()
    const usage = { inputTokens: 10, outputTokens: 1, cachedInputTokens: 0, reasoningTokens: 0 }
    const billed = (message: string) => Object.assign(new Error(message), { details: { usage, costUsd: 1 } })
    const { PerdureError } = await import('perdure')
    for (const fails of [true, true, false]) {
      const runtime = await room.open(directory)
      const session = runtime
        .durable(
          testAgent(async (_request, { onRetry }) => {
            onRetry({ attempt: 1, delayMs: 0, error: billed('first try') })
            if (fails) throw new PerdureError('MODEL_CUT_OFF', 'cut', { details: { usage, costUsd: 1 } })
            return {
              message: { role: 'assistant', content: 'fine', toolCalls: [] },
              usage,
              costUsd: 1,
              model: 'm',
              responseId: undefined,
            }
          }),
        )
        .session('x')
      if (fails) await assert.rejects(session.run('go'), { code: 'MODEL_CUT_OFF' })
      else assert.deepEqual(bill((await session.run('go')).spend), { costUsd: 6, modelCalls: 6, toolCalls: 0, inputTokens: 60 })
      await runtime.close()
    }
    const last = await room.open(directory)
    const { spend, reused } = await last
      .durable(testAgent(scriptedModel([])))
      .session('x')
      .run('go')
    assert.deepEqual([spend.costUsd, reused], [6, true])
    await last.close()
  })

  test('is unknown, not zero, when no price is known', async () => {
    const runtime = await room.open()
    const { spend } = await runtime.durable(testAgent(scriptedModel(['fine']))).run('go')
    assert.deepEqual([spend.costUsd, spend.unpricedCalls], [0, 1])
    await runtime.close()
  })
})

test('bytes written by a turn do not grow with the conversation', async () => {
  const store = await openMemoryStore()
  let bytes = 0
  let baseBytes = 0
  // A base takes the place of its deltas when these outweigh it: over time that doubles what is written, however long it is.
  const isBase = (key: string): boolean => key.endsWith('/b')
  const counting: Store = {
    location: store.location,
    epoch: store.epoch,
    compact: (range) => store.compact(range),
    get: (key) => store.get(key),
    getMany: (keys) => store.getMany(keys),
    entries: (range) => store.entries(range),
    write(operations, options) {
      for (const { key, ...operation } of operations) {
        const size = 'value' in operation ? key.length + operation.value.byteLength : 0
        if (isBase(key)) baseBytes += size
        else bytes += size
      }
      return store.write(operations, options)
    },
    close: () => store.close(),
    [Symbol.asyncDispose]: () => store.close(),
  }
  const closing = new AbortController()
  const clock = { ...systemClock, now: () => 1_700_000_000_000 }
  const services: Services = {
    store: counting,
    committer: createCommitter(counting, { sync: false }),
    effects: createEffects(),
    questions: createQuestions({ services: () => services, activate: async () => {}, passivate: () => {} }),
    streams: createStreams(),
    running: new Set<string>(),
    turns: new Map(),
    agents: createChildAgents(() => services),
    files: undefined,
    claims: createClaims(),
    within: new AsyncLocalStorage<readonly string[]>(),
    clock,
    now: clock.now,
    timers: createTimerQueue(clock),
    inspection: createInspection(),
    nextMessage: () => '',
    onMessages: () => {},
    emit: () => {},
    closing: closing.signal,
  }
  const { note } = noteTool()
  const agent = testAgent(
    scriptedModel(({ messages }) =>
      messages.at(-1)?.role === 'tool' ? 'x'.repeat(500) : { toolCalls: [1, 2, 3].map((index) => callNote(`note ${index}`)) },
    ),
    {},
    [note],
  )
  const conversation = await openConversation(services, 'default/x', 'default', 'session')
  const perTurn: number[] = [0]
  for (let turn = 1; turn <= 310; turn++) {
    bytes = 0
    const prompt = `prompt ${String(turn).padStart(4, '0')}`
    await conversation.execute({
      agent,
      strategy: 'calls',
      turn,
      checkpoint: `default_${turn}`,
      prompt,
      fingerprint: toTurnFingerprint(agent, prompt),
      standing: NO_STANDING,
      reason: 'new',
      changed: [],
      ending: closing.signal,
    })
    perTurn.push(bytes)
  }
  const average = (around: number): number => perTurn.slice(around - 9, around + 10).reduce((sum, count) => sum + count, 0) / 19
  const growth = average(300) / average(10)
  assert.ok(growth < 1.1, `turn 300 writes ${growth.toFixed(2)} times what turn 10 does`)
  const all = perTurn.reduce((sum, count) => sum + count, 0)
  assert.ok(baseBytes < all, `bases are ${baseBytes} bytes beside ${all}`)
  await conversation.stop()
  await counting.close()
})
