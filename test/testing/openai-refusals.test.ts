import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openaiServer, type Script } from 'perdure/testing'

interface ErrorBody {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string | null }
}

interface Refusal {
  readonly what: string
  readonly body: object | string
  readonly message: RegExp
  readonly param?: string
  readonly code?: string
}

const never: Script = () => {
  throw new Error('a refused request never reaches the script')
}

const post = async (url: string, body: object | string, headers: Record<string, string> = {}) => {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(url, { method: 'POST', body: text, headers })
  // What OpenAI's error looks like; the assertions check it.
  return { status: response.status, error: ((await response.json()) as ErrorBody).error }
}

const user = { role: 'user', content: 'Hi' }
const call = (id: string) => ({ id, type: 'function', function: { name: 'f', arguments: '{}' } })
const calls = (...ids: string[]) => ({ role: 'assistant', content: null, tool_calls: ids.map(call) })
const told = (id: string) => ({ role: 'tool', tool_call_id: id, content: 'ok' })
const chat = (messages: unknown, more: object = {}) => ({ model: 'm', messages, ...more })

const chatRefusals: Refusal[] = [
  { what: 'a body that is no JSON', body: '{"model": "m", ', message: /could not parse the JSON body/ },
  { what: 'a body that is no object', body: '[]', message: /expected an object/ },
  { what: 'a missing model', body: { messages: [user] }, message: /^you must provide a model parameter$/ },
  {
    what: 'missing messages',
    body: { model: 'm' },
    message: /'messages'/,
    param: 'messages',
    code: 'missing_required_parameter',
  },
  { what: 'no messages', body: chat([]), message: /empty array/, param: 'messages', code: 'empty_array' },
  {
    what: 'an unknown role',
    body: chat([user, { role: 'robot', content: 'Hi' }]),
    message: /^Invalid value: 'robot'\. Supported values are: 'system', 'assistant', .* and 'developer'\.$/,
    param: 'messages[1].role',
    code: 'invalid_value',
  },
  { what: 'null as content', body: chat([{ role: 'user', content: null }]), message: /got null/, param: 'messages.[0].content' },
  {
    what: 'a part of unknown type',
    body: chat([{ role: 'user', content: [{ type: 'smell' }] }]),
    message: /'smell'/,
    param: 'messages.[0].content[0].type',
    code: 'invalid_value',
  },
  {
    what: 'calls that are not answered at the end',
    body: chat([user, calls('a', 'b'), told('a')]),
    message: /did not have response messages: b$/,
    param: 'messages',
  },
  {
    what: 'calls that are not answered before the next message',
    body: chat([user, calls('a', 'b'), told('b'), user]),
    message: /did not have response messages: a$/,
    param: 'messages.[3].role',
  },
  {
    what: 'an answer without a call',
    body: chat([user, told('a')]),
    message: /must be a response to a preceeding message/,
    param: 'messages.[1].role',
  },
  {
    what: 'an answer to another call',
    body: chat([user, calls('a'), told('z')]),
    message: /'tool_call_id' of 'z' not found/,
    param: 'messages.[2].tool_call_id',
  },
  {
    what: 'two answers to one call',
    body: chat([user, calls('a'), told('a'), told('a')]),
    message: /Duplicate value for 'tool_call_id' of 'a', in messages\[2\] and messages\[3\]/,
    param: 'messages.[3].tool_call_id',
  },
  {
    what: 'two calls of one id',
    body: chat([user, calls('a', 'a')]),
    message: /Duplicate call_ids/,
    param: 'messages[1].tool_calls',
  },
  {
    what: 'no calls in tool_calls',
    body: chat([user, calls()]),
    message: /empty array/,
    param: 'messages[1].tool_calls',
    code: 'empty_array',
  },
  { what: 'no tools in tools', body: chat([user], { tools: [] }), message: /empty array/, param: 'tools', code: 'empty_array' },
  {
    what: 'tool_choice without tools',
    body: chat([user], { tool_choice: 'auto' }),
    message: /only allowed when/,
    param: 'tool_choice',
  },
  {
    what: 'parallel_tool_calls without tools',
    body: chat([user], { parallel_tool_calls: true }),
    message: /only allowed when/,
    param: 'parallel_tool_calls',
  },
  {
    what: 'stream options without a stream',
    body: chat([user], { stream_options: { include_usage: true } }),
    message: /only allowed when 'stream'/,
    param: 'stream_options',
  },
  {
    what: 'a tool name with a space',
    body: chat([user], { tools: [{ type: 'function', function: { name: 'a b' } }] }),
    message: /does not match pattern/,
    param: 'tools[0].function.name',
    code: 'invalid_value',
  },
  {
    what: 'a tool whose schema is no object schema',
    body: chat([user], { tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'string' } } }] }),
    message: /got 'type: "string"'/,
    param: 'tools[0].function.parameters',
    code: 'invalid_function_parameters',
  },
  {
    what: 'a temperature below zero',
    body: chat([user], { temperature: -1 }),
    message: /decimal below minimum value\. Expected a value >= 0, but got -1 instead/,
    param: 'temperature',
    code: 'decimal_below_min_value',
  },
]

const item = (id: string) => ({ type: 'function_call', call_id: id, name: 'f', arguments: '{}' })
const output = (id: string) => ({ type: 'function_call_output', call_id: id, output: 'ok' })
const input = (items: unknown, more: object = {}) => ({ model: 'm', input: items, ...more })

const responsesRefusals: Refusal[] = [
  { what: 'a missing model', body: { input: 'Hi' }, message: /'model'/, param: 'model', code: 'missing_required_parameter' },
  { what: 'a missing input', body: { model: 'm' }, message: /'input'/, param: 'input', code: 'missing_required_parameter' },
  {
    what: 'an item of unknown type',
    body: input([{ type: 'dance' }]),
    message: /'dance'/,
    param: 'input[0].type',
    code: 'invalid_value',
  },
  {
    what: 'an unknown role',
    body: input([{ role: 'tool', content: '' }]),
    message: /'tool'/,
    param: 'input[0].role',
    code: 'invalid_value',
  },
  {
    what: 'a call without its output',
    body: input([user, item('a')]),
    message: /^No tool output found for function call a\.$/,
    param: 'input',
  },
  {
    what: 'an output without its call',
    body: input([user, output('a')]),
    message: /^No tool call found for function call output with call_id a\.$/,
    param: 'input',
  },
  {
    what: 'two outputs of one call',
    body: input([user, item('a'), output('a'), output('a')]),
    message: /Duplicate/,
    param: 'input',
  },
  { what: 'two calls of one id', body: input([user, item('a'), item('a'), output('a')]), message: /Duplicate/, param: 'input' },
  {
    what: 'an item that is there twice',
    body: input([user, { id: 'msg_1', role: 'assistant', content: 'a' }, { id: 'msg_1', role: 'assistant', content: 'a' }]),
    message: /^Duplicate item found with id msg_1\./,
    param: 'input',
  },
  {
    what: 'reasoning without what followed it',
    body: input([user, { type: 'reasoning', id: 'rs_1', summary: [] }, user]),
    message: /^Item 'rs_1' of type 'reasoning' was provided without its required following item\.$/,
    param: 'input',
  },
  {
    what: 'a response that it does not store',
    body: input('Hi', { previous_response_id: 'resp_1' }),
    message: /'resp_1' not found/,
    param: 'previous_response_id',
    code: 'previous_response_not_found',
  },
]

describe('openaiServer refuses', () => {
  for (const [path, refusals] of [
    ['chat/completions', chatRefusals],
    ['responses', responsesRefusals],
  ] as const) {
    for (const { what, body, message, param = null, code = null } of refusals) {
      it(`${what} (${path})`, async () => {
        await using server = await openaiServer({ script: never })
        const { status, error } = await post(`${server.url}/${path}`, body)
        assert.match(error.message, message)
        assert.deepEqual(
          { status, ...error, message: '' },
          { status: 400, message: '', type: 'invalid_request_error', param, code },
        )
        assert.deepEqual(server.requests, [])
        assert.deepEqual(
          server.rejections.map((rejection) => rejection.message),
          [error.message],
        )
      })
    }
  }

  it('another key, and shows only its ends', async () => {
    await using server = await openaiServer({ script: ['Hi'], apiKey: 'sk-right' })
    const url = `${server.url}/chat/completions`
    assert.match((await post(url, chat([user]))).error.message, /didn't provide an API key/)
    const wrong = await post(url, chat([user]), { authorization: 'Bearer sk-wrong-and-secret' })
    assert.deepEqual([wrong.status, wrong.error.code], [401, 'invalid_api_key'])
    assert.match(wrong.error.message, /sk-w\*\*\*cret/)
    const right = await fetch(url, {
      method: 'POST',
      body: JSON.stringify(chat([user])),
      headers: { authorization: 'Bearer sk-right' },
    })
    assert.equal(right.status, 200)
  })

  it('an unknown model, as recorded: 404 for Chat Completions, 400 for Responses', async () => {
    await using server = await openaiServer({ script: never, models: ['gpt-5'] })
    const first = await post(`${server.url}/chat/completions`, chat([user]))
    const second = await post(`${server.url}/responses`, input('Hi'))
    assert.deepEqual([first.status, first.error.code], [404, 'model_not_found'])
    assert.deepEqual([second.status, second.error.code, second.error.param], [400, 'model_not_found', 'model'])
  })

  it('an unknown path and another method', async () => {
    await using server = await openaiServer({ script: never })
    const unknown = await post(`${server.url}/embeddings`, {})
    assert.deepEqual([unknown.status, unknown.error.message], [404, 'Invalid URL (POST /v1/embeddings)'])
    const got = await fetch(`${server.url}/chat/completions`)
    assert.equal(got.status, 405)
  })

  it('a request beyond the script, by its number, and refused ones do not count', async () => {
    await using server = await openaiServer({ script: ['One.'] })
    const url = `${server.url}/chat/completions`
    assert.equal((await post(url, chat([]))).status, 400)
    assert.equal((await fetch(url, { method: 'POST', body: JSON.stringify(chat([user])) })).status, 200)
    const { status, error } = await post(url, chat([user]))
    assert.equal(status, 400)
    assert.match(error.message, /has 1 answer and this is call 2/)
    assert.deepEqual(
      server.requests.map((request) => [request.number, request.answered]),
      [
        [1, true],
        [2, false],
      ],
    )
    assert.throws(() => server.done(), /2 were asked for/)
  })
})
