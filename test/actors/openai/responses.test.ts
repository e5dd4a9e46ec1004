import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AssistantMessage } from '../../../src/machines/conversation.ts'
import { startRig } from '../../support/model-call.ts'
import { toJsonAnswer, toNamedSse } from '../../support/wire-server.ts'

const reasoning = { id: 'rs_1', type: 'reasoning', summary: [], encrypted_content: 'gAAA', status: null }
const callA = {
  id: 'fc_1',
  type: 'function_call',
  call_id: 'call_a',
  name: 'weather',
  arguments: '{"city":"Oslo"}',
  status: 'completed',
}
const callB = { id: 'fc_2', type: 'function_call', call_id: 'call_b', name: 'time', arguments: '{}', status: 'completed' }
const spoken = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'Hello', annotations: [] }],
}
const usage = {
  input_tokens: 1000,
  output_tokens: 200,
  input_tokens_details: { cached_tokens: 400 },
  output_tokens_details: { reasoning_tokens: 50 },
}

function response(status: string, output: readonly object[], more: object = {}) {
  return { id: 'resp_1', object: 'response', model: 'gpt-5-mini-2025-08-07', status, error: null, output, usage, ...more }
}
const created = { type: 'response.created', response: response('in_progress', [], { usage: null }) }

test('text arrives in pieces and becomes an answer with its items, usage and cost', async (t) => {
  const body = toNamedSse(
    created,
    { type: 'response.output_text.delta', output_index: 1, delta: 'Hel' },
    { type: 'response.output_text.delta', output_index: 1, delta: 'lo' },
    { type: 'response.some_future_event' },
    { type: 'response.completed', response: response('completed', [reasoning, spoken]) },
  )
  const rig = await startRig(t, [{ body, pieceBytes: 7 }], { api: 'responses' })
  const answer = await rig.ask({ model: 'gpt-5-mini' })
  assert.deepEqual(rig.deltas, ['Hel', 'lo'])
  assert.equal(answer.message.content, 'Hello')
  assert.deepEqual(answer.message.items, [reasoning, spoken])
  assert.deepEqual(answer.usage, { inputTokens: 1000, outputTokens: 200, cachedInputTokens: 400, reasoningTokens: 50 })
  assert.ok(Math.abs((answer.costUsd ?? 0) - (600 * 0.25 + 400 * 0.025 + 200 * 2) / 1e6) < 1e-12, String(answer.costUsd))
  assert.equal(answer.responseId, 'resp_1')
})

test('parallel tool calls are read from the final event, and from the stream where a server leaves them out there', async (t) => {
  const piece = (index: number, delta: string) => ({ type: 'response.function_call_arguments.delta', output_index: index, delta })
  const whole = toNamedSse(created, { type: 'response.completed', response: response('completed', [callA, callB]) })
  const pieces = toNamedSse(
    created,
    { type: 'response.output_item.added', output_index: 0, item: { ...callA, arguments: '' } },
    { type: 'response.output_item.added', output_index: 1, item: { ...callB, arguments: '' } },
    piece(0, '{"city":'),
    piece(1, '{}'),
    piece(0, '"Oslo"}'),
    { type: 'response.completed', response: response('completed', []) },
  )
  const rig = await startRig(t, [{ body: whole }, { body: pieces }], { api: 'responses' })
  for (const _ of [1, 2]) {
    assert.deepEqual((await rig.ask()).message.toolCalls, [
      { id: 'call_a', name: 'weather', arguments: '{"city":"Oslo"}' },
      { id: 'call_b', name: 'time', arguments: '{}' },
    ])
  }
})

test('reasoning goes back as it came, in place, without what the API refuses', async (t) => {
  const first = toNamedSse({ type: 'response.completed', response: response('completed', [reasoning, callA]) })
  const rig = await startRig(t, [{ body: first }], { api: 'responses' })
  const { message } = await rig.ask({ model: 'gpt-5-mini', settings: { reasoningEffort: 'low', maxOutputTokens: 9 } })
  await rig.ask({
    model: 'gpt-5-mini',
    tools: [{ name: 'weather', description: 'Tells it', parameters: { type: 'object' } }],
    settings: { temperature: 1, topP: 1, parallelToolCalls: true },
    messages: [
      { role: 'user', content: 'Weather?' },
      message,
      { role: 'tool', callId: 'call_a', name: 'weather', content: 'Rain', isError: false },
      { role: 'assistant', content: 'Rain it is', toolCalls: [{ id: 'z', name: 'time', arguments: '' }] },
      { role: 'tool', callId: 'z', name: 'time', content: 'Noon', isError: false },
    ],
  })
  assert.deepEqual(rig.server.requests[0]?.body, {
    model: 'gpt-5-mini',
    input: [{ role: 'user', content: 'Hello' }],
    stream: true,
    store: false,
    instructions: 'Be brief.',
    include: ['reasoning.encrypted_content'],
    max_output_tokens: 9,
    reasoning: { effort: 'low' },
  })
  assert.equal(rig.server.requests[1]?.path, '/v1/responses')
  assert.deepEqual(rig.server.requests[1]?.body, {
    model: 'gpt-5-mini',
    input: [
      { role: 'user', content: 'Weather?' },
      { id: 'rs_1', type: 'reasoning', summary: [], encrypted_content: 'gAAA' },
      callA,
      { type: 'function_call_output', call_id: 'call_a', output: 'Rain' },
      { role: 'assistant', content: 'Rain it is' },
      { type: 'function_call', call_id: 'z', name: 'time', arguments: '{}' },
      { type: 'function_call_output', call_id: 'z', output: 'Noon' },
    ],
    stream: true,
    store: false,
    instructions: 'Be brief.',
    include: ['reasoning.encrypted_content'],
    temperature: 1,
    top_p: 1,
    tools: [{ type: 'function', name: 'weather', description: 'Tells it', parameters: { type: 'object' }, strict: false }],
    parallel_tool_calls: true,
  })
})

test('a reasoning item without content stays behind, and the ids that refer to it too', async (t) => {
  const body = toNamedSse({ type: 'response.completed', response: response('completed', [spoken]) })
  const rig = await startRig(t, [{ body }], { api: 'responses' })
  const message: AssistantMessage = {
    role: 'assistant',
    content: '',
    toolCalls: [{ id: 'call_a', name: 'weather', arguments: '{}' }],
    items: [{ id: 'rs_1', type: 'reasoning', summary: [] }, callA],
  }
  await rig.ask({ messages: [message] })
  const { id: _, ...withoutId } = callA
  assert.deepEqual(rig.server.requests[0]?.body.input, [withoutId])
  assert.equal('include' in (rig.server.requests[0]?.body ?? {}), false, 'gpt-4o-mini refuses to be asked for reasoning')
})

test('a call id that was used before is replaced in the items as well', async (t) => {
  const body = toNamedSse({
    type: 'response.completed',
    response: response('completed', [callA, { ...callB, call_id: 'call_a' }]),
  })
  const rig = await startRig(t, [{ body }], { api: 'responses' })
  const { message } = await rig.ask()
  const [first, second] = message.toolCalls
  assert.equal(first?.id, 'call_a')
  assert.notEqual(second?.id, 'call_a')
  assert.deepEqual(message.items, [callA, { ...callB, call_id: second?.id }])
})

test('a server that ignores streaming and answers with JSON is understood', async (t) => {
  const rig = await startRig(t, [toJsonAnswer(response('completed', [reasoning, spoken, callA]))], { api: 'responses' })
  const { message } = await rig.ask()
  assert.equal(message.content, 'Hello')
  assert.equal(message.toolCalls[0]?.id, 'call_a')
  assert.deepEqual(rig.deltas, ['Hello'])
})

test('text that is in no item is kept without items, so that it is not lost when handed back', async (t) => {
  const body = toNamedSse(
    { type: 'response.output_text.delta', output_index: 0, delta: 'Hi' },
    { type: 'response.completed', response: response('completed', []) },
  )
  const rig = await startRig(t, [{ body }], { api: 'responses' })
  assert.deepEqual((await rig.ask()).message, { role: 'assistant', content: 'Hi', toolCalls: [] })
})
