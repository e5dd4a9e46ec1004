import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toCount, toDuration, toMoney } from '../../src/observe/quantity.ts'

test('a duration is as precise as it is short', () => {
  const cases: readonly (readonly [number, string])[] = [
    [-5, '0 ms'],
    [0, '0 ms'],
    [999.4, '999 ms'],
    [999.6, '1.0 s'],
    [12_345, '12.3 s'],
    [59_949, '59.9 s'],
    [59_951, '1 min 00 s'],
    [125_400, '2 min 05 s'],
    [3_599_600, '1 h 00 min'],
    [3_720_000, '1 h 02 min'],
    [86_399_999, '1 d 0 h'],
    [273_600_000, '3 d 4 h'],
  ]
  for (const [ms, text] of cases) assert.equal(toDuration(ms), text, String(ms))
})

test('an amount of money is as precise as it is small', () => {
  const cases: readonly (readonly [number, string])[] = [
    [0, '$0'],
    [0.000_012_3, '$0.000012'],
    [0.0042, '$0.0042'],
    [0.09996, '$0.1000'],
    [0.4, '$0.40'],
    [1234.5, '$1,234.50'],
  ]
  for (const [usd, text] of cases) assert.equal(toMoney(usd), text)
})

test('a count names one thing and many', () => {
  assert.deepEqual([toCount(0, 'call'), toCount(1, 'call'), toCount(2104, 'token')], ['0 calls', '1 call', '2,104 tokens'])
})
