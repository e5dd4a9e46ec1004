import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyCanary, startRig } from '../../support/model-call.ts'
import { toJsonAnswer, toSse } from '../../support/wire-server.ts'

const usage = {
  prompt_tokens: 1000,
  completion_tokens: 200,
  prompt_tokens_details: { cached_tokens: 400 },
  completion_tokens_details: { reasoning_tokens: 50 },
}

function chunk(delta: object, finish: string | null = null) {
  return { id: 'chatcmpl-1', model: 'gpt-4o-mini-2024-07-18', choices: [{ index: 0, delta, finish_reason: finish }], usage: null }
}
const ending = [{ id: 'chatcmpl-1', model: 'gpt-4o-mini-2024-07-18', choices: [], usage }, '[DONE]']

function piece(index: number | undefined, id: string | undefined, name: string | undefined, text: string) {
  return chunk({ tool_calls: [{ index, id, function: { name, arguments: text } }] })
}

test('text arrives in pieces and becomes an answer with usage and cost', async (t) => {
  const body = toSse(
    chunk({ role: 'assistant', content: '' }),
    chunk({ content: 'Hel' }),
    chunk({ content: 'lo ✓' }),
    chunk({}, 'stop'),
    ...ending,
  )
  const rig = await startRig(t, [{ body, pieceBytes: 7 }])
  const answer = await rig.ask()
  assert.deepEqual(rig.deltas, ['Hel', 'lo ✓'])
  assert.deepEqual(answer.message, { role: 'assistant', content: 'Hello ✓', toolCalls: [] })
  assert.deepEqual(answer.usage, { inputTokens: 1000, outputTokens: 200, cachedInputTokens: 400, reasoningTokens: 50 })
  assert.ok(Math.abs((answer.costUsd ?? 0) - (600 * 0.15 + 400 * 0.075 + 200 * 0.6) / 1e6) < 1e-12, String(answer.costUsd))
  assert.equal(answer.model, 'gpt-4o-mini-2024-07-18')
  assert.equal(answer.responseId, 'chatcmpl-1')
  assert.equal(rig.server.requests[0]?.headers.authorization, `Bearer ${keyCanary}`)
})

test('parallel tool calls whose pieces are mixed are put together by index', async (t) => {
  const body = toSse(
    piece(0, 'call_a', 'weather', ''),
    piece(1, 'call_b', 'time', ''),
    piece(0, undefined, undefined, '{"city":'),
    piece(1, undefined, undefined, '{}'),
    piece(0, undefined, undefined, '"Oslo"}'),
    chunk({}, 'tool_calls'),
    ...ending,
  )
  const rig = await startRig(t, [{ body }])
  const { message } = await rig.ask()
  assert.equal(message.content, '')
  assert.deepEqual(message.toolCalls, [
    { id: 'call_a', name: 'weather', arguments: '{"city":"Oslo"}' },
    { id: 'call_b', name: 'time', arguments: '{}' },
  ])
})

test('calls that all claim index 0 are told apart, and an id that changes on the way is one call', async (t) => {
  const whole = toSse(piece(0, 'a', 'one', '{"x":1}'), piece(0, 'b', 'two', '{}'), chunk({}, 'tool_calls'))
  const rotating = toSse(
    piece(0, 'a', 'one', '{"x"'),
    piece(0, 'b', 'one', ':1'),
    piece(0, 'c', '', '}'),
    chunk({}, 'tool_calls'),
  )
  const rig = await startRig(t, [{ body: whole }, { body: rotating }])
  assert.deepEqual(
    (await rig.ask()).message.toolCalls.map((call) => [call.id, call.name, call.arguments]),
    [
      ['a', 'one', '{"x":1}'],
      ['b', 'two', '{}'],
    ],
  )
  assert.deepEqual((await rig.ask()).message.toolCalls, [{ id: 'a', name: 'one', arguments: '{"x":1}' }])
})

test('ids that are missing, repeated or used earlier in the conversation are replaced by fresh ones', async (t) => {
  const body = toSse(
    piece(0, '', 'a', '{}'),
    piece(1, 'x', 'b', '{}'),
    piece(2, 'x', 'c', '{}'),
    piece(3, 'old', 'd', '{}'),
    chunk({}, 'tool_calls'),
  )
  const rig = await startRig(t, [{ body }])
  const { message } = await rig.ask({
    messages: [
      { role: 'user', content: 'Go' },
      { role: 'assistant', content: '', toolCalls: [{ id: 'old', name: 'd', arguments: '{}' }] },
      { role: 'tool', callId: 'old', name: 'd', content: 'done', isError: false },
    ],
  })
  const ids = message.toolCalls.map((call) => call.id)
  assert.equal(ids[1], 'x')
  assert.equal(new Set([...ids, 'old', '']).size, 6)
})

test('a request holds the conversation, the tools and the settings, and nothing that was left out', async (t) => {
  const answer = { body: toSse(chunk({ content: 'Yes' }, 'stop')) }
  const rig = await startRig(t, [answer])
  await rig.ask({
    settings: { temperature: 0.5, topP: 0.9, maxOutputTokens: 77, reasoningEffort: 'low', parallelToolCalls: false },
    tools: [{ name: 'weather', description: 'Tells it', parameters: { type: 'object' } }],
    messages: [
      { role: 'user', content: 'Weather?' },
      { role: 'assistant', content: '', toolCalls: [{ id: 'a', name: 'weather', arguments: '' }], items: [{ type: 'message' }] },
      { role: 'tool', callId: 'a', name: 'weather', content: 'Rain', isError: false },
      { role: 'assistant', content: 'It rains', toolCalls: [] },
      { role: 'user', content: 'Sure?' },
    ],
  })
  assert.equal(rig.server.requests[0]?.path, '/v1/chat/completions')
  assert.deepEqual(rig.server.requests[0]?.body, {
    model: 'gpt-4o-mini',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Weather?' },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: 'a', type: 'function', function: { name: 'weather', arguments: '{}' } }],
      },
      { role: 'tool', tool_call_id: 'a', content: 'Rain' },
      { role: 'assistant', content: 'It rains' },
      { role: 'user', content: 'Sure?' },
    ],
    stream: true,
    stream_options: { include_usage: true },
    temperature: 0.5,
    top_p: 0.9,
    max_tokens: 77,
    reasoning_effort: 'low',
    tools: [{ type: 'function', function: { name: 'weather', description: 'Tells it', parameters: { type: 'object' } } }],
    parallel_tool_calls: false,
  })
  await rig.ask({ systemPrompt: '', settings: { parallelToolCalls: true } })
  assert.deepEqual(rig.server.requests[1]?.body, {
    model: 'gpt-4o-mini',
    messages: [{ role: 'user', content: 'Hello' }],
    stream: true,
    stream_options: { include_usage: true },
  })
})

test('a server that ignores streaming and answers with JSON is understood', async (t) => {
  const message = {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
  }
  const rig = await startRig(t, [
    toJsonAnswer({ id: 'c1', model: 'm', choices: [{ index: 0, finish_reason: 'stop', message: { content: 'Hi' } }], usage }),
    toJsonAnswer({ id: 'c2', model: 'm', choices: [{ index: 0, finish_reason: 'tool_calls', message }] }),
  ])
  const first = await rig.ask()
  assert.equal(first.message.content, 'Hi')
  assert.equal(first.usage?.inputTokens, 1000)
  assert.deepEqual(rig.deltas, ['Hi'])
  const second = await rig.ask()
  assert.deepEqual(second.message.toolCalls, [{ id: 'a', name: 'f', arguments: '{}' }])
  assert.equal(second.usage, undefined)
  assert.equal(second.costUsd, undefined)
})

test('an answer whose connection breaks after its finish is complete', async (t) => {
  const rig = await startRig(t, [{ body: toSse(chunk({ content: 'Whole' }), chunk({}, 'stop')), ending: 'cut' }])
  assert.equal((await rig.ask()).message.content, 'Whole')
  assert.equal(rig.server.requests.length, 1)
})

test('text in an event that is not for us is skipped', async (t) => {
  const body = `: keep-alive\n\n${toSse({ type: 'ping' }, chunk({ content: 'Hi' }), { choices: [{ index: 1, delta: { content: 'other' } }] }, chunk({}, 'stop'))}`
  const rig = await startRig(t, [{ body }])
  assert.equal((await rig.ask()).message.content, 'Hi')
})
