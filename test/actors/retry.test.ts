import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type RetryPolicy, toRetryDelay } from '../../src/actors/retry.ts'

const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const whole = (max: number, min = 0) => fc.integer({ min, max })

test('each wait is between half of it and all of it, twice as long as the one before, up to the longest', () => {
  fc.assert(
    fc.property(whole(40, 1), whole(100_000), whole(100_000), chance, (maxAttempts, delayMs, maxDelayMs, random) => {
      const toDelay = toRetryDelay({ maxAttempts, delayMs, maxDelayMs }, () => random)
      for (let attempt = 1; attempt < maxAttempts; attempt++) {
        const wait = Math.min(delayMs * 2 ** (attempt - 1), maxDelayMs)
        const delay = toDelay(attempt)
        assert.ok(delay !== undefined && Number.isInteger(delay))
        assert.ok(delay >= Math.floor(wait / 2) && delay <= wait, `${delay} of ${wait}`)
      }
      assert.equal(toDelay(maxAttempts), undefined)
      assert.equal(toDelay(maxAttempts + 1), undefined)
    }),
  )
})

test('the whole width of it is used', () => {
  const at = (random: number) => toRetryDelay({ delayMs: 1_000 }, () => random)(1)
  assert.deepEqual([at(0), at(0.5), at(0.999999)], [500, 750, 1_000])
})

test('without numbers it is three attempts, a second apart', () => {
  const toDelay = toRetryDelay({}, () => 0)
  assert.deepEqual([1, 2, 3].map(toDelay), [500, 1_000, undefined])
})

test('a number that makes no sense is refused by its name', () => {
  for (const [policy, message] of [
    [{ maxAttempts: 0 }, /`retry\.maxAttempts` to be .* ≥ 1, got `0`/],
    [{ delayMs: -1 }, /`retry\.delayMs`/],
    [{ maxDelayMs: Number.POSITIVE_INFINITY }, /`retry\.maxDelayMs`/],
    [{ delayMs: '1s' }, /`retry\.delayMs`/],
    [{ maxAttempts: 2.5 }, /`retry\.maxAttempts`/],
    [7, /`retry` to be an object/],
    [null, /`retry` to be an object/],
  ] as const)
    assert.throws(() => toRetryDelay(policy as RetryPolicy), { name: 'TypeError', message })
})
