import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Model, ModelRequest } from '../../src/actors/model.ts'
import { estimateInputTokens, watchSpend } from '../../src/actors/spend-watch.ts'
import type { Usage } from '../../src/machines/conversation.ts'

const request: ModelRequest = {
  model: 'test-model',
  systemPrompt: 'Be brief.',
  settings: {},
  tools: [],
  messages: [{ role: 'user', content: 'x'.repeat(391) }],
}
const INPUT_TOKENS = 100
/** A dollar for every thousand tokens. */
const costOf = async ({ inputTokens, outputTokens }: Usage): Promise<number> => (inputTokens + outputTokens) / 1_000
const modelWith = (more: Partial<Pick<Model, 'costOf'>> = {}): Model =>
  Object.assign(() => assert.fail('it is not asked'), more) as Model // only its price is asked for

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const pieces = fc.array(
  fc.nat({ max: 300 }).map((length) => 'x'.repeat(length)),
  { maxLength: 40 },
)

test('a request has a token for every four characters of all that is sent', () => {
  assert.equal(estimateInputTokens(request), INPUT_TOKENS)
  const toolCalls = [{ id: 'a', name: 'note', arguments: '{"x":1}' }]
  const tools = [{ name: 'note', description: 'Notes', parameters: {} }]
  const more = [...request.messages, { role: 'assistant', content: 'abc', toolCalls } as const]
  assert.equal(estimateInputTokens({ ...request, tools, messages: more }), Math.ceil((400 + 11 + 14) / 4))
})

test('tokens: it is told once, with the first piece that uses more than what is left', () => {
  fc.assert(
    fc.property(pieces, fc.nat({ max: 3_000 }), (texts, tokens) => {
      let told = 0
      const watch = watchSpend({ tokens }, request, modelWith(), () => told++)
      let characters = 0
      let isOver = false
      for (const text of texts) {
        watch.add(text)
        characters += text.length
        isOver ||= INPUT_TOKENS + Math.ceil(characters / 4) > tokens
        assert.equal(told, isOver ? 1 : 0)
        assert.equal(watch.reached !== undefined, isOver)
      }
      if (watch.reached === undefined) return
      const { usage, spent } = watch.reached.details as { usage: Usage; spent: number } // what the machine reads of it
      assert.equal(usage.inputTokens + usage.outputTokens, spent)
      assert.ok(spent > tokens, 'what was used is more than what was left, so that the limit is reached')
    }),
  )
})

test('dollars: it is told by the time 200 more characters have come, and never when there is enough', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, fc.double({ min: 0.1, max: 3, noNaN: true }), async (texts, costUsd) => {
      let told = 0
      const watch = watchSpend({ costUsd }, request, modelWith({ costOf }), () => told++)
      let characters = 0
      for (const text of texts) {
        watch.add(text)
        await settle()
        characters += text.length
        const cost = (length: number) => (INPUT_TOKENS + Math.ceil(length / 4)) / 1_000
        if (cost(characters) <= costUsd) assert.equal(told, 0)
        else if (cost(Math.max(0, characters - 500)) > costUsd) assert.equal(told, 1)
      }
    }),
    { numRuns: 50 },
  )
})

test('an answer that begins anew is billed for its request once more', () => {
  const watch = watchSpend({ tokens: 250 }, request, modelWith(), () => {})
  watch.add('x'.repeat(400))
  assert.equal(watch.reached === undefined, true, 'one request fits')
  watch.restart()
  watch.add('x')
  assert.deepEqual(watch.reached?.details.usage, {
    inputTokens: 200,
    outputTokens: 101,
    cachedInputTokens: 0,
    reasoningTokens: 0,
  })
})

test('without a limit of tokens or dollars nothing is watched', async () => {
  for (const remaining of [undefined, {}, { tokens: undefined, costUsd: undefined }]) {
    const watch = watchSpend(remaining, request, modelWith({ costOf: () => assert.fail('asked') }), () => assert.fail('told'))
    watch.add('x'.repeat(100_000))
    watch.restart()
    assert.deepEqual([watch.reached, await watch.toError()], [undefined, undefined])
  }
})

test('a price that cannot be told ends nothing while the answer streams', async () => {
  for (const model of [
    modelWith(),
    modelWith({ costOf: async () => undefined }),
    modelWith({ costOf: () => Promise.reject(new Error('no price')) }),
  ]) {
    const watch = watchSpend({ costUsd: 0 }, request, model, () => assert.fail('told'))
    watch.add('x'.repeat(4_000))
    await settle()
    assert.equal(watch.reached, undefined)
  }
})

test('what was used up to a limit of tokens has its price, where that is known', async () => {
  for (const [model, costUsd] of [
    [modelWith({ costOf }), 1.1],
    [modelWith(), undefined],
    [modelWith({ costOf: () => Promise.reject(new Error('no price')) }), undefined],
  ] as const) {
    const watch = watchSpend({ tokens: 500 }, request, model, () => {})
    watch.add('x'.repeat(4_000))
    const error = await watch.toError()
    assert.deepEqual([error?.code, error?.details.costUsd, error?.details.isEstimate], ['LIMIT_REACHED', costUsd, true])
  }
})
