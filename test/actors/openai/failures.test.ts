import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PerdureErrorCode } from '../../../src/errors.ts'
import { expectError, keyCanary, startRig, toContext } from '../../support/model-call.ts'
import { toJsonAnswer, toNamedSse, toSse, type WireAnswer } from '../../support/wire-server.ts'

const done = { body: toSse({ choices: [{ index: 0, delta: { content: 'Done' }, finish_reason: 'stop' }] }) }
const begun = toSse({ choices: [{ index: 0, delta: { content: 'Ha' }, finish_reason: null }] })
const sse = { 'content-type': 'text/event-stream' }

function refusedBy(status: number, error: object, headers: Readonly<Record<string, string>> = {}): WireAnswer {
  return toJsonAnswer({ error: { message: `No, with key ${keyCanary}`, ...error } }, status, headers)
}
const response = (status: string, more: object) => ({ id: 'r', model: 'm', status, output: [], ...more })
const said = (part: object) => ({ output: [{ type: 'message', role: 'assistant', content: [part] }] })

/** A failure, the API that it comes by, its name, and how many requests are made in all. */
type Case = readonly [title: string, api: 'chat' | 'responses', answer: WireAnswer, code: PerdureErrorCode, requests: number]

const cases: readonly Case[] = [
  ['a 401', 'chat', refusedBy(401, { code: 'invalid_api_key' }), 'MODEL_UNAUTHORIZED', 1],
  ['a 403', 'chat', refusedBy(403, {}), 'MODEL_UNAUTHORIZED', 1],
  ['a 404', 'chat', refusedBy(404, {}), 'MODEL_NOT_FOUND', 1],
  [
    'a 404 without JSON',
    'chat',
    { status: 404, headers: { 'content-type': 'text/plain' }, body: '404 page not found' },
    'MODEL_NOT_FOUND',
    1,
  ],
  ['a 400 for an unknown model', 'responses', refusedBy(400, { code: 'model_not_found' }), 'MODEL_NOT_FOUND', 1],
  ['a 404 for a stored item', 'responses', refusedBy(404, { message: "Item with id 'rs_1' not found." }), 'MODEL_BAD_REQUEST', 1],
  ['a conversation that is too long', 'chat', refusedBy(400, { code: 'context_length_exceeded' }), 'MODEL_CONTEXT_TOO_LONG', 1],
  [
    'a context that overflows in words',
    'responses',
    refusedBy(400, { message: 'Your input exceeds the context window of this model.' }),
    'MODEL_CONTEXT_TOO_LONG',
    1,
  ],
  [
    'a body that is too large',
    'chat',
    { status: 413, headers: { 'content-type': 'text/html' }, body: '<h1>no</h1>' },
    'MODEL_CONTEXT_TOO_LONG',
    1,
  ],
  ['a bad request', 'chat', refusedBy(400, { code: 'invalid_value' }), 'MODEL_BAD_REQUEST', 1],
  ['a 422', 'chat', refusedBy(422, {}), 'MODEL_BAD_REQUEST', 1],
  ['a filtered prompt', 'chat', refusedBy(400, { code: 'content_filter' }), 'MODEL_REFUSED', 1],
  ['a spent quota', 'chat', refusedBy(429, { code: 'insufficient_quota', type: 'insufficient_quota' }), 'MODEL_QUOTA', 1],
  ['a 402', 'chat', refusedBy(402, {}), 'MODEL_QUOTA', 1],
  ['a 408', 'chat', refusedBy(408, {}), 'MODEL_UNAVAILABLE', 4],
  ['a 409', 'chat', refusedBy(409, {}), 'MODEL_UNAVAILABLE', 4],
  ['a 429', 'responses', refusedBy(429, { code: 'rate_limit_exceeded' }), 'MODEL_UNAVAILABLE', 4],
  ['a 429 that is final by its own word', 'chat', refusedBy(429, {}, { 'x-should-retry': 'false' }), 'MODEL_UNAVAILABLE', 1],
  ['a 500', 'chat', refusedBy(500, {}), 'MODEL_UNAVAILABLE', 4],
  ['a 503 without a body', 'responses', { status: 503, headers: {} }, 'MODEL_UNAVAILABLE', 4],
  ['a connection that is reset at once', 'chat', { status: 200, headers: sse, ending: 'cut' }, 'MODEL_UNAVAILABLE', 4],
  ['a stream that is cut in the middle', 'chat', { body: begun, ending: 'cut' }, 'MODEL_UNAVAILABLE', 4],
  ['a stream that ends without a finish', 'chat', { body: begun }, 'MODEL_UNAVAILABLE', 3],
  [
    'a response that ends without its last event',
    'responses',
    { body: toNamedSse({ type: 'response.output_text.delta', delta: 'Ha' }) },
    'MODEL_UNAVAILABLE',
    3,
  ],
  ['a stream of broken JSON', 'chat', { body: `${begun}data: {"choices":[{\n\n` }, 'MODEL_BAD_ANSWER', 3],
  ['a stream of another shape', 'chat', { body: toSse({ choices: 'none' }) }, 'MODEL_BAD_ANSWER', 3],
  ['an empty 200', 'chat', { headers: { ...sse, 'content-length': '0' } }, 'MODEL_BAD_ANSWER', 3],
  ['an empty 200 of JSON', 'responses', { headers: { 'content-type': 'application/json' } }, 'MODEL_BAD_ANSWER', 3],
  [
    'a web page',
    'chat',
    { headers: { 'content-type': 'text/html' }, body: '<!doctype html>\n<p>Welcome</p>' },
    'MODEL_BAD_ANSWER',
    3,
  ],
  ['JSON that is cut', 'chat', { headers: { 'content-type': 'application/json' }, body: '{"choices":' }, 'MODEL_BAD_ANSWER', 3],
  ['JSON that is no answer', 'responses', toJsonAnswer({ hello: 'world' }), 'MODEL_UNAVAILABLE', 3],
  [
    'an answer of neither text nor calls',
    'chat',
    { body: toSse({ choices: [{ delta: { content: ' \n' }, finish_reason: 'stop' }] }) },
    'MODEL_BAD_ANSWER',
    3,
  ],
  [
    'a response of nothing but reasoning',
    'responses',
    toJsonAnswer(response('completed', { output: [{ type: 'reasoning', summary: [] }] })),
    'MODEL_BAD_ANSWER',
    3,
  ],
  [
    'calls that are announced and missing',
    'chat',
    { body: toSse({ choices: [{ delta: { content: 'I call' }, finish_reason: 'tool_calls' }] }) },
    'MODEL_BAD_ANSWER',
    3,
  ],
  [
    'a call without a name',
    'chat',
    {
      body: toSse({
        choices: [{ delta: { tool_calls: [{ index: 0, id: 'a', function: { arguments: '{}' } }] }, finish_reason: 'tool_calls' }],
      }),
    },
    'MODEL_BAD_ANSWER',
    3,
  ],
  ['a response that is still queued', 'responses', toJsonAnswer(response('queued', {})), 'MODEL_BAD_ANSWER', 3],
  [
    'an answer at its limit',
    'chat',
    { body: toSse({ choices: [{ delta: { content: 'Ha' }, finish_reason: 'length' }] }) },
    'MODEL_CUT_OFF',
    1,
  ],
  [
    'a response at its limit',
    'responses',
    {
      body: toNamedSse({
        type: 'response.incomplete',
        response: response('incomplete', { incomplete_details: { reason: 'max_output_tokens' } }),
      }),
    },
    'MODEL_CUT_OFF',
    1,
  ],
  [
    'a filtered answer',
    'chat',
    { body: toSse({ choices: [{ delta: { content: 'Ha' }, finish_reason: 'content_filter' }] }) },
    'MODEL_REFUSED',
    1,
  ],
  [
    'a filtered response',
    'responses',
    toJsonAnswer(response('incomplete', { incomplete_details: { reason: 'content_filter' } })),
    'MODEL_REFUSED',
    1,
  ],
  [
    'an error chunk of a spent quota',
    'chat',
    { body: `${begun}${toSse({ error: { code: 'insufficient_quota', message: 'Pay' } })}` },
    'MODEL_QUOTA',
    1,
  ],
  [
    'an error chunk of a rate limit',
    'chat',
    { body: toSse({ error: { code: 'rate_limit_exceeded', message: 'Slow' } }) },
    'MODEL_UNAVAILABLE',
    4,
  ],
  [
    'an error chunk with a status of a server behind',
    'chat',
    { body: toSse({ error: { code: 401, message: 'Who?' } }) },
    'MODEL_UNAUTHORIZED',
    1,
  ],
  [
    'an error in a 200 of JSON',
    'chat',
    toJsonAnswer({ error: { code: 'context_length_exceeded', message: 'Long' } }),
    'MODEL_CONTEXT_TOO_LONG',
    1,
  ],
  [
    'an error event',
    'responses',
    { body: toNamedSse({ type: 'error', code: 'insufficient_quota', message: 'Pay' }) },
    'MODEL_QUOTA',
    1,
  ],
  [
    'an error event without a name',
    'responses',
    { body: toSse({ type: 'error', code: 'insufficient_quota', message: 'Pay' }) },
    'MODEL_QUOTA',
    1,
  ],
  [
    'a failed response',
    'responses',
    {
      body: toNamedSse({
        type: 'response.failed',
        response: response('failed', { error: { code: 'server_error', message: 'Oops' } }),
      }),
    },
    'MODEL_UNAVAILABLE',
    4,
  ],
  [
    'a response that fails for its prompt',
    'responses',
    {
      body: toNamedSse({
        type: 'response.failed',
        response: response('failed', { error: { code: 'invalid_prompt', message: 'Flagged' } }),
      }),
    },
    'MODEL_REFUSED',
    1,
  ],
]

for (const [title, api, answer, code, requests] of cases) {
  test(`${title} is ${code}${requests > 1 ? ' after retries' : ' at once'} and shows no key`, async (t) => {
    const rig = await startRig(t, [answer], { api, maxRetries: 3 })
    const error = await expectError(rig.ask(), code)
    assert.equal(rig.server.requests.length, requests)
    assert.equal(rig.retries.length, requests - 1)
    assert.equal(error.details.attempts, requests)
    assert.match(error.message, /[.!?)] [A-Z][^.]+\./, 'A message says what to do next')
  })
}

test('a refusal carries the words of the model, by both APIs', async (t) => {
  const chat = await startRig(t, [
    {
      body: toSse(
        { choices: [{ delta: { refusal: 'I will' } }] },
        { choices: [{ delta: { refusal: ' not' }, finish_reason: 'stop' }] },
      ),
    },
  ])
  assert.equal((await expectError(chat.ask(), 'MODEL_REFUSED')).details.refusal, 'I will not')
  const refused = toJsonAnswer(response('completed', said({ type: 'refusal', refusal: 'I will not' })))
  const responses = await startRig(t, [refused], { api: 'responses' })
  assert.equal((await expectError(responses.ask(), 'MODEL_REFUSED')).details.refusal, 'I will not')
})

test('a failure that was paid for holds its usage and cost', async (t) => {
  const usage = { prompt_tokens: 1_000_000, completion_tokens: 0 }
  const rig = await startRig(t, [
    { body: toSse({ model: 'gpt-4o-mini', choices: [{ delta: {}, finish_reason: 'length' }], usage }) },
  ])
  const error = await expectError(rig.ask({ settings: { maxOutputTokens: 7 } }), 'MODEL_CUT_OFF')
  assert.equal(error.details.costUsd, 0.15)
  assert.match(error.message, /maxOutputTokens: 7/)
})

test('a broken stream starts over, and its text is void', async (t) => {
  const rig = await startRig(t, [{ body: begun, ending: 'cut' }, done])
  assert.equal((await rig.ask()).message.content, 'Done')
  assert.deepEqual(rig.deltas, ['Done'])
})

test('a server that is not there is MODEL_UNAVAILABLE and says why', async (t) => {
  const rig = await startRig(t, [done])
  await rig.server.close()
  const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.match(error.message, /ECONNREFUSED/)
  assert.equal(rig.retries.length, 5)
})

test('a server that stays silent, before or within its answer, is given up after timeoutMs', async (t) => {
  for (const answer of [{ ending: 'hold' }, { body: begun, ending: 'hold' }] as const) {
    const rig = await startRig(t, [answer], { timeoutMs: 50, maxRetries: 1 })
    const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
    assert.match(error.message, /silent for 50 ms/)
    assert.equal(rig.server.requests.length, 2)
  }
})

test('an error that a fetch of one’s own throws with the request inside shows no key', async (t) => {
  const rig = await startRig(t, [done], {
    maxRetries: 1,
    fetch: (_url, init) => {
      const cause = Object.assign(new Error(`socket of ${keyCanary}`), {
        code: 'EPIPE',
        init,
        headers: new Headers(init?.headers),
      })
      throw Object.assign(new TypeError(`sent ${JSON.stringify([...new Headers(init?.headers)])}`, { cause }), { init })
    },
  })
  const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.match(error.message, /\[secret\]/)
})

test('what a callback throws is not taken for a failure of the model', async (t) => {
  const rig = await startRig(t, [done])
  const bug = new TypeError('terminated')
  const onText = () => {
    throw bug
  }
  const request = { model: 'm', systemPrompt: '', settings: {}, tools: [], messages: [] }
  await assert.rejects(rig.model(request, toContext({ onText })), (error) => error === bug)
  assert.equal(rig.server.requests.length, 1)
})
