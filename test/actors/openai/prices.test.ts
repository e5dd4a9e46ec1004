import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type PricedCall, toCostUsd } from '../../../src/actors/openai/prices.ts'

const usage = { inputTokens: 1_000_000, outputTokens: 100_000, cachedInputTokens: 400_000, reasoningTokens: 50_000 }
const call: PricedCall = {
  models: ['gpt-4o-mini-2024-07-18', 'gpt-4o-mini'],
  usage,
  cacheWriteTokens: 0,
  baseUrl: 'https://api.openai.com/v1',
  isOpenai: true,
  prices: {},
}

async function expectCost(more: Partial<PricedCall>, expected: number): Promise<void> {
  const cost = await toCostUsd({ ...call, ...more })
  assert.ok(cost !== undefined && Math.abs(cost - expected) < 1e-9, `${cost} is not ${expected}`)
}

test('a known model costs its input, cached input and output', async () => {
  await expectCost({}, 0.6 * 0.15 + 0.4 * 0.075 + 0.1 * 0.6)
})

test('a model that no list has costs undefined, not zero', async () => {
  assert.equal(await toCostUsd({ ...call, models: ['my-model'] }), undefined)
  assert.equal(await toCostUsd({ ...call, models: ['toString'] }), undefined)
})

test('own prices go before the known ones, by the name that was asked for', async () => {
  const prices = {
    'gpt-4o-mini': { inputPerMillionUsd: 10, cachedInputPerMillionUsd: 1, outputPerMillionUsd: 20 },
    'my-model': { inputPerMillionUsd: 10, outputPerMillionUsd: 20 },
    free: { inputPerMillionUsd: 0, outputPerMillionUsd: 0 },
  }
  await expectCost({ prices }, 6 + 0.4 + 2)
  await expectCost({ prices, models: ['my-model'] }, 10 + 2)
  await expectCost({ prices, models: ['free'] }, 0)
})

test('another provider’s models cost what that provider asks', async () => {
  const models = ['deepseek-chat']
  assert.notEqual(await toCostUsd({ ...call, models, isOpenai: false, baseUrl: 'https://api.deepseek.com/v1' }), undefined)
  assert.equal(await toCostUsd({ ...call, models, isOpenai: false, baseUrl: 'http://localhost:1/v1' }), undefined)
})

test('usage that contradicts itself costs undefined, and the answer stands', async () => {
  assert.equal(await toCostUsd({ ...call, usage: { ...usage, cachedInputTokens: 2_000_000 } }), undefined)
})
