import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openaiServer } from 'perdure/testing'
import { z } from 'zod'
import { toOutputFormat } from '../../../src/actors/openai/output-format.ts'
import { createRig } from '../../support/model-call.ts'

const toSchema = (type: z.ZodType) => z.toJSONSchema(type)
const isStrict = (type: z.ZodType) => toOutputFormat({ name: 'n', schema: toSchema(type) })?.strict

const weather = z.object({
  city: z.string(),
  degrees: z.number().int(),
  days: z.array(z.object({ rain: z.boolean().nullable() })),
})

test('a schema is sent strict where strict mode takes it', () => {
  assert.equal(isStrict(weather), true)
  assert.equal(isStrict(z.object({ kind: z.enum(['a', 'b']), either: z.union([z.string(), z.object({ n: z.number() })]) })), true)
  assert.equal(isStrict(z.object({})), true)
})

test('a schema that strict mode would refuse is sent as a request', () => {
  assert.equal(isStrict(z.object({ city: z.string().optional() })), false)
  assert.equal(isStrict(z.object({ city: z.string().min(3) })), false)
  assert.equal(isStrict(z.looseObject({ city: z.string() })), false)
  assert.equal(isStrict(z.object({ cities: z.record(z.string(), z.number()) })), false)
  assert.equal(isStrict(z.object({ deep: z.object({ city: z.string().default('Oslo') }) })), false)
  assert.equal(isStrict(z.object({ any: z.unknown() })), false)
  assert.equal(toOutputFormat({ name: 'n', schema: { type: 'object', properties: { a: { type: 'array' } } } })?.strict, false)
})

test('a schema of something else than an object is not sent, and a name is made one that is taken', () => {
  assert.equal(toOutputFormat(undefined), undefined)
  assert.equal(toOutputFormat({ name: 'n', schema: { type: 'array', items: {} } }), undefined)
  assert.equal(toOutputFormat({ name: 'Wetter in Köln', schema: { type: 'object' } })?.name, 'Wetter_in_K_ln')
  assert.equal(toOutputFormat({ name: 'x'.repeat(80), schema: { type: 'object' } })?.name.length, 64)
})

for (const api of ['chat', 'responses'] as const) {
  test(`the form of an answer goes along with the request, ${api}`, async () => {
    await using server = await openaiServer({ script: ['{}', '{}'] })
    const rig = createRig(server.url, { api })
    const output = { name: 'weather', schema: toSchema(weather) }
    await rig.ask({ output })
    await rig.ask()
    const { body, request } = server.requests[0] ?? {}
    const format = { name: 'weather', schema: output.schema, strict: true }
    assert.deepEqual(
      api === 'chat' ? body?.response_format : body?.text,
      api === 'chat' ? { type: 'json_schema', json_schema: format } : { format: { type: 'json_schema', ...format } },
    )
    assert.deepEqual(request?.output, output)
    assert.equal(server.requests[1]?.request.output, undefined)
    assert.equal('text' in (server.requests[1]?.body ?? {}) || 'response_format' in (server.requests[1]?.body ?? {}), false)
  })

  test(`every schema that is sent strict is taken so, ${api}`, async () => {
    await using server = await openaiServer({ script: () => '{}' })
    const rig = createRig(server.url, { api, maxRetries: 0 })
    for (const type of [weather, z.object({ a: z.string().optional() }), z.looseObject({ a: z.array(weather) })]) {
      await rig.ask({ output: { name: 'n', schema: toSchema(type) } })
    }
    assert.deepEqual(server.rejections, [])
  })

  test(`the arguments of tool calls arrive in pieces, ${api}`, async () => {
    const toolCalls = [{ name: 'weather', arguments: { city: 'São Paulo' } }, { name: 'time' }]
    await using server = await openaiServer({ script: [{ text: 'Let me look.', toolCalls }] })
    const rig = createRig(server.url, { api })
    const { message } = await rig.ask({
      tools: ['weather', 'time'].map((name) => ({ name, description: '', parameters: { type: 'object' } })),
    })
    for (const call of message.toolCalls) {
      const prefix = `${call.id} ${call.name}: `
      const pieces = rig.argumentDeltas.filter((each) => each.startsWith(prefix)).map((each) => each.slice(prefix.length))
      assert.equal(pieces.join(''), call.arguments)
    }
    assert.ok(rig.argumentDeltas.length > 2)
  })
}

test('a model tells what tokens cost, by its own prices or the known ones', async () => {
  const usage = { inputTokens: 1_000_000, outputTokens: 1_000_000, cachedInputTokens: 0, reasoningTokens: 0 }
  const { model } = createRig('http://127.0.0.1:9/v1', { prices: { mine: { inputPerMillionUsd: 1, outputPerMillionUsd: 4 } } })
  assert.equal(await model.costOf?.(usage, 'mine'), 5)
  assert.equal(await model.costOf?.(usage, 'gpt-4o-mini'), 0.75)
  assert.equal(await model.costOf?.(usage, 'nobody-knows-it'), undefined)
})
