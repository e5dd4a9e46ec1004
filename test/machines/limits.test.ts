import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Spent } from '../../src/machines/conversation.ts'
import {
  addLimits,
  addSpent,
  findReached,
  type Limits,
  leastLimits,
  NOTHING_SPENT,
  raiseLimits,
  toLimitText,
  toLostSpent,
  toRemaining,
  toSpent,
} from '../../src/machines/limits.ts'

/** Whole numbers, so that sums are exact. */
const amount = fc.nat({ max: 1_000_000 })
const maybe = fc.option(amount, { nil: undefined })
const limits: fc.Arbitrary<Limits> = fc.record({ steps: maybe, tokens: maybe, costUsd: maybe, wallTimeMs: maybe })
const spent: fc.Arbitrary<Spent> = fc.record({ steps: amount, tokens: amount, costUsd: amount, unpricedCalls: amount })
const kinds = ['steps', 'tokens', 'costUsd'] as const
const all = [...kinds, 'wallTimeMs'] as const

const property = <T extends [unknown, ...unknown[]]>(
  title: string,
  arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> },
  check: (...values: T) => void,
): void => {
  test(title, () => fc.assert(fc.property(...arbitraries, check)))
}

describe('limits', () => {
  property('something is reached if and only if nothing is left of it', [limits, spent], (max, used) => {
    const remaining = toRemaining({ limits: max, spent: used }, { limits: undefined, spent: NOTHING_SPENT })
    const reached = findReached('turn', max, used)
    assert.equal(
      reached !== undefined,
      kinds.some((kind) => remaining[kind] === 0),
    )
    if (reached === undefined) return
    assert.ok(reached.limit !== 'wallTimeMs' && reached.spent >= reached.max)
    assert.deepEqual([reached.max, reached.spent], [max[reached.limit], used[reached.limit]])
  })

  property('what is left is that of the narrower one, and never below zero', [limits, limits, spent], (turn, run, used) => {
    const left = toRemaining({ limits: turn, spent: used }, { limits: run, spent: used })
    for (const kind of kinds) {
      const narrower = Math.min(turn[kind] ?? Infinity, run[kind] ?? Infinity)
      assert.equal(left[kind] ?? Infinity, Math.max(0, narrower - used[kind]))
    }
  })

  property('of two the lesser holds, whichever comes first', [limits, limits], (a, b) => {
    const least = leastLimits(a, b)
    assert.deepEqual(least, leastLimits(b, a))
    for (const kind of all) assert.equal(least?.[kind] ?? Infinity, Math.min(a[kind] ?? Infinity, b[kind] ?? Infinity))
    assert.equal(leastLimits(undefined, a), a)
    assert.equal(leastLimits(a, undefined), a)
  })

  property('raised twice is raised by both together', [limits, limits, limits], (max, a, b) => {
    assert.deepEqual(raiseLimits(raiseLimits(max, a), b), raiseLimits(max, addLimits(a, b)))
  })

  property('a limit that there is none of stays none, and no other gets less', [limits, limits], (max, by) => {
    const raised = raiseLimits(max, by)
    for (const kind of all) {
      assert.equal(raised[kind] === undefined, max[kind] === undefined)
      assert.equal(raised[kind], max[kind] === undefined ? undefined : max[kind] + (by[kind] ?? 0))
    }
  })

  property(
    'a limit that was reached and is raised by anything is reached no more',
    [amount, fc.integer({ min: 1 })],
    (max, by) => {
      for (const kind of kinds) {
        const at = { ...NOTHING_SPENT, [kind]: max }
        assert.equal(findReached('run', { [kind]: max }, at)?.scope, 'run')
        assert.equal(findReached('run', raiseLimits({ [kind]: max }, { [kind]: by }), at), undefined)
      }
    },
  )

  test('say what they are', () => {
    assert.equal(toLimitText({ limit: 'costUsd', scope: 'run', max: 2.5 }), 'the limit of 2.5 US dollars for this run')
    assert.equal(toLimitText({ limit: 'steps', scope: 'turn', max: 9 }), 'the limit of 9 model requests for this turn')
  })
})

describe('what was spent', () => {
  property('adds up in any order, and never gets less', [spent, spent, spent], (a, b, c) => {
    assert.deepEqual(addSpent(addSpent(a, b), c), addSpent(a, addSpent(c, b)))
    for (const key of ['steps', 'tokens', 'costUsd', 'unpricedCalls'] as const) assert.ok(addSpent(a, b)[key] >= a[key])
    assert.deepEqual(addSpent(a, {}), { ...a })
  })

  const message = { role: 'assistant', content: '', toolCalls: [] } as const
  const base = { message, model: 'm', responseId: undefined }
  const usage = { inputTokens: 60, outputTokens: 40, cachedInputTokens: 50, reasoningTokens: 30 }

  test('on an answer counts cached and reasoning tokens once', () => {
    assert.deepEqual(toSpent({ ...base, usage, costUsd: 2 }), { steps: 1, tokens: 100, costUsd: 2, unpricedCalls: 0 })
  })

  test('on an answer of which nothing is known is a request without a price', () => {
    const unknown = { ...base, usage: undefined, costUsd: undefined }
    assert.deepEqual(toSpent(unknown), { steps: 1, tokens: 0, costUsd: 0, unpricedCalls: 1 })
    assert.deepEqual(toSpent({ ...base, usage, costUsd: 0 }), { steps: 1, tokens: 100, costUsd: 0, unpricedCalls: 0 })
  })

  test('on attempts that were lost is part of the answer they led to', () => {
    const lost = { calls: 2, inputTokens: 20, costUsd: 1 }
    assert.deepEqual(toSpent({ ...base, usage, costUsd: 2, lost }), { steps: 3, tokens: 120, costUsd: 3, unpricedCalls: 0 })
  })

  test('on a call that failed is what its error says', () => {
    assert.deepEqual(toLostSpent({ usage, costUsd: 2 }), { tokens: 100, costUsd: 2, unpricedCalls: 0 })
    assert.deepEqual(toLostSpent({ usage: { inputTokens: 5 } }), { tokens: 5, costUsd: 0, unpricedCalls: 1 })
    for (const details of [{}, { usage: undefined }, { usage: null }, { usage: 7 }]) assert.deepEqual(toLostSpent(details), {})
  })
})
