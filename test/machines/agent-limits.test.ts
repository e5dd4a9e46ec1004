import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { PerdureError } from 'perdure'
import { testClock } from 'perdure/testing'
import { createActor, fromPromise } from 'xstate'
import type { LimitInput, ModelInput, ToolInput } from '../../src/machines/agent.ts'
import {
  answered,
  answeredWith,
  assertValidConversation,
  called,
  children,
  decidedLimit,
  machine,
  modelFailed,
  next,
  play,
  prompt,
  readInput,
  timeUp,
  toAnswer,
} from '../support/agent-scene.ts'

const retry = (more: object = {}) => ({ type: 'retry', ...more })
const extend = (by: object) => decidedLimit({ extend: by })
const crossed = (limit: 'tokens' | 'costUsd', costUsd: number | undefined) =>
  new PerdureError('LIMIT_REACHED', 'in the middle', {
    details: {
      limit,
      scope: 'turn',
      max: 50,
      spent: 60,
      usage: { inputTokens: 30, outputTokens: 30 },
      costUsd,
      isEstimate: true,
    },
  })
const errorOf = ({ context }: ReturnType<typeof play>) => [
  context.error?.code,
  context.error?.details.limit,
  context.error?.details.scope,
]

/** Two rounds of a model cost 200 tokens and two dollars. */
const rounds = [answered('', 'a'), called('a'), answered('', 'b'), called('b')]
const maxima = { steps: 2, tokens: 200, costUsd: 2 }

for (const limit of ['steps', 'tokens', 'costUsd'] as const)
  for (const scope of ['turn', 'run'] as const)
    describe(`a limit of ${limit} for the ${scope}`, () => {
      const limits = { [scope === 'turn' ? 'limits' : 'runLimits']: { [limit]: maxima[limit] } }

      test('ends the turn before the next request, and not before', () => {
        const first = play([prompt('Hello', limits), ...rounds.slice(0, 2)])
        assert.equal(first.value, 'thinking')
        const state = rounds.slice(2).reduce(next, first)
        assert.deepEqual([state.value, ...errorOf(state)], ['failed', 'LIMIT_REACHED', limit, scope])
        assert.equal(state.context.error?.details.spent, maxima[limit])
        assertValidConversation(state.context.messages)
      })

      test('does not end a turn that has its answer', () => {
        const state = play([prompt('Hello', limits), ...rounds.slice(0, 2), answered('Hi.')])
        assert.deepEqual([state.value, state.context.error], ['ready', undefined])
      })

      test('is reached again by a retry as it is, and not by one with more', () => {
        const failed = play([prompt('Hello', limits), ...rounds])
        assert.deepEqual(errorOf(next(failed, retry())), ['LIMIT_REACHED', limit, scope])
        const more = { [scope === 'turn' ? 'limits' : 'runLimits']: { [limit]: maxima[limit] + 1 } }
        const state = next(failed, retry(more))
        assert.deepEqual([state.value, state.context.step], ['thinking', 3])
      })

      test('is extended by a person, as often as it is reached, each time under another name', () => {
        const waiting = play([prompt('Hello', { ...limits, onLimit: 'ask' }), ...rounds])
        const { key, reached } = readInput<LimitInput>(waiting, 'limit')
        assert.equal(key, 'call/000001/limit1')
        assert.deepEqual(reached, { limit, scope, max: maxima[limit], spent: maxima[limit] })
        const by = limit === 'tokens' ? 100 : 1
        const again = [extend({ [limit]: by }), answered('', 'c'), called('c')].reduce(next, waiting)
        assert.equal(again.value, 'limited')
        assert.deepEqual(readInput<LimitInput>(again, 'limit'), {
          key: 'call/000001/limit2',
          reached: { limit, scope, max: maxima[limit] + by, spent: maxima[limit] + by },
        })
      })

      test('is left as it is by a person who stops the turn', () => {
        const state = play([prompt('Hello', { ...limits, onLimit: 'ask' }), ...rounds, decidedLimit({ stop: true })])
        assert.deepEqual([state.value, ...errorOf(state)], ['failed', 'LIMIT_REACHED', limit, scope])
        assert.equal(next(state, retry()).value, 'limited', 'a retry asks again')
      })
    })

describe('a limit that is crossed in the middle of an answer', () => {
  for (const [limit, costUsd] of [
    ['tokens', 1],
    ['tokens', undefined],
    ['costUsd', 1],
  ] as const)
    test(`(${limit}, at a price of ${costUsd}) counts what was estimated, and the request is not a step`, () => {
      const limits = limit === 'tokens' ? { tokens: 50 } : { costUsd: 1 }
      const state = play([prompt('Hello', { limits }), modelFailed(crossed(limit, costUsd))])
      assert.deepEqual([state.value, ...errorOf(state)], ['failed', 'LIMIT_REACHED', limit, 'turn'])
      assert.deepEqual(state.context.turnSpent, {
        steps: 0,
        tokens: 60,
        costUsd: costUsd ?? 0,
        unpricedCalls: costUsd === undefined ? 1 : 0,
      })
      assert.equal(state.context.step, 0)
    })

  test('is asked about, and the same request is made again', () => {
    const waiting = play([prompt('Hello', { limits: { tokens: 50 }, onLimit: 'ask' }), modelFailed(crossed('tokens', 1))])
    assert.equal(waiting.value, 'limited')
    const { key, remaining, isAgain } = readInput<ModelInput>(next(waiting, extend({ tokens: 100 })), 'model')
    assert.deepEqual([key, remaining?.tokens, isAgain], ['call/000001/m001', 90, true])
  })

  test('is reached also when its estimate is a hair too small to be more than what was left', () => {
    const limits = { limits: { costUsd: 1.1 } }
    for (const [onLimit, value] of [
      ['fail', 'failed'],
      ['ask', 'limited'],
    ]) {
      const state = play([prompt('Hello', { ...limits, onLimit }), modelFailed(crossed('costUsd', 1.099999999))])
      assert.deepEqual([state.value, state.context.reached?.limit], [value, 'costUsd'])
    }
  })
})

describe('the price of an answer', () => {
  const unpriced = answeredWith(toAnswer('', ['a'], { costUsd: undefined }))

  test('that is not known ends a turn with a limit of dollars, and no other', () => {
    for (const [limits, code] of [
      [{ limits: { costUsd: 9 } }, 'PRICE_UNKNOWN'],
      [{ runLimits: { costUsd: 9 } }, 'PRICE_UNKNOWN'],
      [{ limits: { tokens: 5_000 } }, undefined],
    ] as const)
      assert.equal(play([prompt('Hello', limits), unpriced, called('a')]).context.error?.code, code)
  })

  test('of attempts that were lost counts', () => {
    const lost = { calls: 2, inputTokens: 70, costUsd: 4 }
    const { turnSpent } = play([prompt(), answeredWith(toAnswer('Hi.', [], { lost }))]).context
    assert.deepEqual(turnSpent, { steps: 3, tokens: 170, costUsd: 5, unpricedCalls: 0 })
  })
})

describe('a limit of time', () => {
  const limits = { limits: { wallTimeMs: 5 } }

  test('ends what is under way in every state that waits for an actor, and the step is made again', () => {
    const thinking = play([prompt('Hello', limits), timeUp('turn', 5)])
    assert.deepEqual([thinking.value, children(thinking), thinking.context.step], ['failed', [], 0])
    const acting = play([prompt('Hello', limits), answered('', 'a', 'ok-b'), timeUp('turn', 5)])
    assert.deepEqual([acting.value, children(acting)], ['failed', []])
    assert.deepEqual(children(next(acting, retry())), ['approval.ok-b', 'call.a'])
  })

  test('that is extended goes on with the calls that had not settled', () => {
    const events = [prompt('Hello', { ...limits, onLimit: 'ask' }), answered('', 'a', 'b'), called('a'), timeUp('turn', 5)]
    const state = play([...events, extend({ wallTimeMs: 7 })])
    assert.deepEqual([state.value, children(state), state.context.limits?.wallTimeMs], ['acting', ['call.b'], 12])
    const input = readInput<ToolInput>(state, 'call.b')
    assert.deepEqual([input.isAgain, input.key], [true, 'call/000001/m001/b'])
  })

  test('that passes while a person is asked about another one is asked about next', () => {
    const both = prompt('Hello', { limits: { wallTimeMs: 5, tokens: 100 }, onLimit: 'ask' })
    const waiting = play([both, answered('', 'a'), called('a'), timeUp('turn', 5)])
    assert.equal(waiting.value, 'limited')
    const state = next(waiting, extend({ tokens: 500 }))
    assert.deepEqual([state.value, state.context.reached?.limit, state.context.timesLimited], ['limited', 'wallTimeMs', 2])
    assert.equal(next(waiting, extend({ tokens: 500, wallTimeMs: 5 })).value, 'thinking', 'one answer may be to both')
  })

  test('of all turns that is up leaves no time to the next turn, until it is raised', () => {
    const runLimits = { runLimits: { wallTimeMs: 5 } }
    const up = play([prompt('One', runLimits), answered('1'), timeUp('run', 5)])
    assert.equal(up.value, 'ready')
    assert.deepEqual(errorOf(next(up, prompt('Two', runLimits))), ['LIMIT_REACHED', 'wallTimeMs', 'run'])
    assert.equal(next(up, prompt('Two', { runLimits: { wallTimeMs: 9 } })).value, 'thinking')
  })
})

describe('time that passes', () => {
  const hang = fromPromise<never, never>(() => new Promise(() => {}))
  const timed = machine.provide({
    actors: { model: hang, limit: hang } as never, // they are never done
  })
  const start = (events: readonly object[]) => {
    const clock = testClock()
    // XState's clock wants numbers and objects alike.
    const actor = createActor(timed, { input: {}, clock: clock as never }).start()
    for (const event of events) actor.send(event as never)
    return { clock, actor, at: () => actor.getSnapshot().value }
  }

  test('ends a turn when it is up, and not a moment before', async () => {
    const { clock, at } = start([prompt('Hello', { limits: { wallTimeMs: 60_000 } })])
    await clock.advance(59_999)
    assert.equal(at(), 'thinking')
    await clock.advance(1)
    assert.equal(at(), 'failed')
  })

  test('begins anew with each turn, and goes on over all of them for the run', async () => {
    const limits = { limits: { wallTimeMs: 60_000 }, runLimits: { wallTimeMs: 100_000 } }
    const { clock, actor, at } = start([prompt('One', limits)])
    await clock.advance(50_000)
    actor.send({ type: 'abort' })
    actor.send(prompt('Two', limits) as never)
    await clock.advance(49_999)
    assert.equal(at(), 'thinking')
    await clock.advance(1)
    assert.deepEqual([at(), actor.getSnapshot().context.error?.details.scope], ['failed', 'run'])
  })

  test('is more by as much as a person gave while it ran', async () => {
    const limits = { limits: { wallTimeMs: 60_000, steps: 1 }, onLimit: 'ask' }
    const { clock, actor, at } = start([prompt('Hello', limits), answered('', 'a')])
    // What the tool and the person say.
    for (const event of [called('a'), extend({ steps: 1, wallTimeMs: 30_000 })]) actor.send(event as never)
    assert.equal(at(), 'thinking')
    await clock.advance(89_999)
    assert.equal(at(), 'thinking')
    await clock.advance(1)
    assert.deepEqual([at(), actor.getSnapshot().context.reached?.max], ['limited', 90_000])
  })

  test('of a turn that ended is nothing to the next', async () => {
    const { clock, actor, at } = start([prompt('One', { limits: { wallTimeMs: 60_000 } })])
    actor.send({ type: 'abort' })
    actor.send(prompt('Two', { limits: {} }) as never)
    await clock.advance(600_000)
    assert.equal(at(), 'thinking')
    assert.equal(clock.pending, 0)
  })
})
