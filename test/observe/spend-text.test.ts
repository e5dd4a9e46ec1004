import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toCostText, toReceiptLines, toSavedText, toSpendParts } from '../../src/observe/spend-text.ts'
import { NO_SPEND } from '../../src/runtime/spend.ts'
import { toReceipt, turnOne, turnTwo } from '../support/log-scene.ts'

const plain = (text: string): string => text.replaceAll('\u00a0', ' ')

test('a price that is not known is said to be unknown, never $0', () => {
  assert.equal(toCostText({ ...turnTwo, costUsd: 0, unpricedCalls: 1 }), 'cost unknown')
  assert.equal(toCostText({ ...turnOne, costUsd: 0.0011, unpricedCalls: 2 }), '$0.0011 + 2 calls of unknown price')
  assert.equal(toCostText({ ...turnOne, costUsd: 0.0011, unpricedCalls: 1 }), '$0.0011 + 1 call of unknown price')
  assert.equal(toCostText({ ...turnOne, costUsd: 0 }), '$0')
  assert.equal(toCostText({ ...NO_SPEND, toolCalls: 3 }), undefined)
})

test('usage that a provider did not tell is unknown, never 0 tokens', () => {
  assert.deepEqual(toSpendParts({ ...NO_SPEND, modelCalls: 1, unpricedCalls: 1 }), [
    '1 model call',
    'tokens unknown',
    'cost unknown',
  ])
  assert.deepEqual(toSpendParts({ ...NO_SPEND, toolCalls: 2 }), ['2 tool calls'])
  assert.deepEqual(toSpendParts(NO_SPEND), [])
})

test('what was reused says what it saved', () => {
  assert.equal(
    plain(toSavedText(turnOne, ' · ')),
    '3 model calls · 2 tool calls · 2,104 tokens · $0.0042 · 12.3 s not paid again',
  )
  assert.equal(plain(toSavedText({ ...NO_SPEND, durationMs: 431 }, ' · ')), 'took 431 ms, not executed again')
})

test('a receipt tells what was reused, what was spent and what was asked twice', () => {
  const receipt = toReceipt({
    reused: { ...turnOne, checkpoints: 1 },
    spent: { ...turnTwo, checkpoints: 1 },
    repeated: { modelCalls: 1, toolCalls: 2 },
  })
  assert.deepEqual(
    toReceiptLines(receipt, 2134).map(([label, text]) => `${label} ${plain(text)}`),
    [
      'reused 1 checkpoint: 3 model calls, 2 tool calls, 2,104 tokens, $0.0042, 12.3 s not paid again',
      'spent 1 model call, 640 tokens, $0.0011 in 2.1 s',
      'repeated 1 model call asked twice, 2 tool calls executed twice, because an earlier attempt did not finish',
    ],
  )
})

test('a receipt counts the settled calls of an unfinished turn as reused', () => {
  const [reused] = toReceiptLines(toReceipt({ reused: turnTwo }), 10)
  assert.equal(plain(reused?.[1] ?? ''), '1 model call, 640 tokens, $0.0011, 2.1 s not paid again')
})

test('a receipt of a run without calls says that nothing was spent', () => {
  assert.deepEqual(
    toReceiptLines(toReceipt({}), 21).map(([label, text]) => `${label} ${plain(text)}`),
    ['spent nothing in 21 ms'],
  )
})
