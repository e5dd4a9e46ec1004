import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import OpenAI from 'openai'
import type { ChatCompletionMessageParam, ChatCompletionTool } from 'openai/resources/chat/completions'
import type { FunctionTool, ResponseInput, ResponseStreamEvent } from 'openai/resources/responses/responses'
import { openaiServer, type Script, scriptedModel, toConversationKey } from 'perdure/testing'
import { toContext } from '../support/model-call.ts'

const clientOf = ({ url }: { url: string }) => new OpenAI({ baseURL: url, apiKey: 'sk-test', maxRetries: 0 })

const parameters = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const chatTools: ChatCompletionTool[] = [{ type: 'function', function: { name: 'weather', description: 'Weather', parameters } }]
const responsesTools: FunctionTool[] = [{ type: 'function', name: 'weather', description: 'Weather', parameters, strict: false }]

/** Asks for two cities at once, then says what it was told. */
const weatherScript: Script = ({ messages }) => {
  const told = messages.filter((message) => message.role === 'tool')
  if (told.length > 0) return `I see: ${told.map(({ name, content }) => `${name} ${content}`).join(', ')}.`
  const toolCalls = ['Paris', 'São Paulo'].map((city) => ({ name: 'weather', arguments: { city } }))
  return { text: 'Let me look.', toolCalls }
}

const question: ChatCompletionMessageParam[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Weather?' },
]

describe('openaiServer, Chat Completions', () => {
  it('answers the official client', async () => {
    await using server = await openaiServer({ script: ['It is sunny.'] })
    const completion = await clientOf(server).chat.completions.create({ model: 'gpt-5-mini', messages: question })
    assert.equal(completion.choices[0]?.message.content, 'It is sunny.')
    assert.equal(completion.choices[0]?.finish_reason, 'stop')
    assert.deepEqual(
      [completion.usage?.prompt_tokens, completion.usage?.completion_tokens, completion.usage?.total_tokens],
      [5, 3, 8],
    )
    assert.equal(server.requests[0]?.answered, true)
    server.done()
  })

  it('streams to the official client, with usage when it is asked for', async () => {
    await using server = await openaiServer({ script: ['It is sunny.', 'It is sunny.'] })
    const request = { model: 'gpt-5-mini', messages: question, stream: true } as const
    let text = ''
    let last: OpenAI.ChatCompletionChunk | undefined
    const stream = await clientOf(server).chat.completions.create({ ...request, stream_options: { include_usage: true } })
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? ''
      last = chunk
    }
    assert.equal(text, 'It is sunny.')
    assert.deepEqual(last?.choices, [])
    assert.equal(last?.usage?.total_tokens, 8)
    for await (const chunk of await clientOf(server).chat.completions.create(request)) assert.equal('usage' in chunk, false)
  })

  it("carries a round of two parallel tool calls through the client's own stream helper", async () => {
    await using server = await openaiServer({ script: weatherScript })
    const client = clientOf(server)
    const messages = [...question]
    const request = { model: 'gpt-5-mini', tools: chatTools, stream_options: { include_usage: true } }
    const first = await client.chat.completions.stream({ ...request, messages }).finalChatCompletion()
    const asked = first.choices[0]
    assert.equal(asked?.finish_reason, 'tool_calls')
    assert.equal(asked.message.content, 'Let me look.')
    const calls = asked.message.tool_calls?.filter((call) => call.type === 'function') ?? []
    assert.deepEqual(
      calls.map((call) => [call.id, call.function.name, JSON.parse(call.function.arguments)]),
      [
        ['call_1_0', 'weather', { city: 'Paris' }],
        ['call_1_1', 'weather', { city: 'São Paulo' }],
      ],
    )
    messages.push({ role: 'assistant', content: asked.message.content, tool_calls: calls })
    for (const call of calls) messages.push({ role: 'tool', tool_call_id: call.id, content: 'sunny' })
    const second = await client.chat.completions.stream({ ...request, messages }).finalChatCompletion()
    assert.equal(second.choices[0]?.message.content, 'I see: weather sunny, weather sunny.')
    assert.ok((second.usage?.prompt_tokens ?? 0) > (first.usage?.prompt_tokens ?? 0))
  })

  it("runs the client's own tool runner to its end", async () => {
    await using server = await openaiServer({ script: weatherScript })
    const tool = { ...chatTools[0], type: 'function' as const }
    const runner = clientOf(server).chat.completions.runTools({
      model: 'gpt-5-mini',
      messages: question,
      tools: [
        { ...tool, function: { name: 'weather', description: 'Weather', parameters, parse: JSON.parse, function: () => 'rain' } },
      ],
    })
    assert.equal(await runner.finalContent(), 'I see: weather rain, weather rain.')
  })
})

describe('openaiServer, Responses', () => {
  it('answers the official client', async () => {
    await using server = await openaiServer({ script: ['It is sunny.'] })
    const response = await clientOf(server).responses.create({
      model: 'gpt-5-mini',
      instructions: 'Be brief.',
      input: 'Weather?',
    })
    assert.equal(response.output_text, 'It is sunny.')
    assert.equal(response.status, 'completed')
    assert.equal(response.usage?.total_tokens, 8)
  })

  it('streams numbered events in the order of OpenAI', async () => {
    await using server = await openaiServer({
      script: [{ text: 'Let me look.', toolCalls: [{ name: 'weather', arguments: '{}' }] }],
    })
    const stream = await clientOf(server).responses.create({ model: 'gpt-5-mini', input: 'Weather?', stream: true })
    const events: ResponseStreamEvent[] = []
    for await (const event of stream) events.push(event)
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, index) => index),
    )
    assert.deepEqual(
      events.map((event) => event.type),
      [
        'response.created',
        'response.in_progress',
        'response.output_item.added',
        'response.content_part.added',
        'response.output_text.delta',
        'response.output_text.delta',
        'response.output_text.delta',
        'response.output_text.done',
        'response.content_part.done',
        'response.output_item.done',
        'response.output_item.added',
        'response.function_call_arguments.delta',
        'response.function_call_arguments.done',
        'response.output_item.done',
        'response.completed',
      ],
    )
  })

  it("carries a round of two parallel tool calls through the client's own stream helper", async () => {
    await using server = await openaiServer({ script: weatherScript })
    const client = clientOf(server)
    const request = { model: 'gpt-5-mini', instructions: 'Be brief.', tools: responsesTools, store: false }
    const input: ResponseInput = [{ role: 'user', content: 'Weather?' }]
    const first = await client.responses.stream({ ...request, input }).finalResponse()
    assert.equal(first.output_text, 'Let me look.')
    const calls = first.output.filter((item) => item.type === 'function_call')
    assert.deepEqual(
      calls.map((call) => [call.call_id, JSON.parse(call.arguments)]),
      [
        ['call_1_0', { city: 'Paris' }],
        ['call_1_1', { city: 'São Paulo' }],
      ],
    )
    const outputs = calls.map(({ call_id }) => ({ type: 'function_call_output' as const, call_id, output: 'sunny' }))
    const said = first.output.filter((item) => item.type === 'message')
    // The helper's `parsed` fields are not for the wire.
    const items: ResponseInput = [
      ...said.map(({ content, ...message }) => ({ ...message, content: content.filter((part) => part.type === 'output_text') })),
      ...calls.map(({ parsed_arguments: _, ...call }) => call),
      ...outputs,
    ]
    const second = await client.responses.stream({ ...request, input: [...input, ...items] }).finalResponse()
    assert.equal(second.output_text, 'I see: weather sunny, weather sunny.')
    assert.deepEqual(server.rejections, [])
  })
})

describe('openaiServer', () => {
  it('shows one conversation to the script, whichever API it came over', async () => {
    await using server = await openaiServer({ script: () => 'Yes.' })
    const client = clientOf(server)
    const call = { id: 'call_1_0', name: 'weather', arguments: '{"city":"Paris"}' }
    await client.chat.completions.create({
      model: 'gpt-5-mini',
      max_completion_tokens: 100,
      reasoning_effort: 'low',
      tools: chatTools,
      messages: [
        ...question,
        { role: 'assistant', content: null, tool_calls: [{ id: call.id, type: 'function', function: call }] },
        { role: 'tool', tool_call_id: call.id, content: 'sunny' },
        { role: 'assistant', content: 'Sunny.' },
        { role: 'user', content: [{ type: 'text', text: 'Sure?' }] },
      ],
    })
    await client.responses.create({
      model: 'gpt-5-mini',
      max_output_tokens: 100,
      reasoning: { effort: 'low' },
      tools: responsesTools,
      instructions: 'Be brief.',
      input: [
        { role: 'user', content: 'Weather?' },
        { type: 'function_call', call_id: call.id, name: call.name, arguments: call.arguments },
        { type: 'function_call_output', call_id: call.id, output: 'sunny' },
        { role: 'assistant', content: 'Sunny.' },
        { role: 'user', content: [{ type: 'input_text', text: 'Sure?' }] },
      ],
    })
    const [chat, responses] = server.requests
    assert.deepEqual(chat?.request, {
      model: 'gpt-5-mini',
      systemPrompt: 'Be brief.',
      settings: { maxOutputTokens: 100, reasoningEffort: 'low' },
      tools: [{ name: 'weather', description: 'Weather', parameters }],
      messages: [
        { role: 'user', content: 'Weather?' },
        { role: 'assistant', content: '', toolCalls: [call] },
        { role: 'tool', callId: call.id, name: 'weather', content: 'sunny', isError: false },
        { role: 'assistant', content: 'Sunny.', toolCalls: [] },
        { role: 'user', content: 'Sure?' },
      ],
    })
    assert.deepEqual(responses?.request, chat.request)
    assert.equal(responses?.key, chat.key)
    assert.equal(chat.key, toConversationKey(chat.request))
  })

  it('says on both APIs what a scripted model in-process says', async () => {
    await using server = await openaiServer({ script: weatherScript })
    const client = clientOf(server)
    const chat = await client.chat.completions.create({ model: 'gpt-5-mini', messages: question })
    const response = await client.responses.create({ model: 'gpt-5-mini', instructions: 'Be brief.', input: 'Weather?' })
    const request = server.requests[0]?.request
    assert.ok(request)
    const { message, usage } = await scriptedModel(weatherScript)(request, toContext())
    assert.equal(chat.choices[0]?.message.content, message.content)
    assert.equal(response.output_text, message.content)
    assert.deepEqual(
      chat.choices[0]?.message.tool_calls?.map((call) => call.id),
      message.toolCalls.map((call) => call.id),
    )
    assert.deepEqual([chat.usage?.prompt_tokens, response.usage?.input_tokens], [usage?.inputTokens, usage?.inputTokens])
  })

  it('answers the same conversation with the same bytes on every server', async () => {
    const answers: string[] = []
    for (const stream of [true, false]) {
      for (const _ of ['first', 'second']) {
        await using server = await openaiServer({ script: weatherScript })
        for (const [path, asked] of [
          ['chat/completions', { messages: question }],
          ['responses', { input: 'Weather?' }],
        ] as const) {
          const body = JSON.stringify({ model: 'gpt-5-mini', stream, ...asked })
          answers.push(await (await fetch(`${server.url}/${path}`, { method: 'POST', body })).text())
        }
      }
    }
    assert.deepEqual(answers.slice(0, 2), answers.slice(2, 4))
    assert.deepEqual(answers.slice(4, 6), answers.slice(6, 8))
  })

  it('waits before the first byte and between pieces on the clock it is given', async () => {
    const waited: number[] = []
    const sleep = async (delayMs: number) => waited.push(delayMs)
    await using server = await openaiServer({ script: ['one two three'], delayMs: 20, chunkDelayMs: 7, sleep })
    const stream = clientOf(server).chat.completions.stream({ model: 'gpt-5-mini', messages: question })
    assert.equal(await stream.finalContent(), 'one two three')
    assert.deepEqual(waited, [20, 7, 7])
  })

  it('holds an answer until its promise settles', async () => {
    const gate = Promise.withResolvers<void>()
    await using server = await openaiServer({ script: [{ text: 'one', until: gate.promise }, 'two'] })
    const client = clientOf(server)
    const first = client.chat.completions.create({ model: 'gpt-5-mini', messages: question })
    while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    const second = await client.chat.completions.create({ model: 'gpt-5-mini', messages: question })
    assert.deepEqual(
      server.requests.map((request) => request.answered),
      [false, true],
    )
    gate.resolve()
    assert.deepEqual([(await first).choices[0]?.message.content, second.choices[0]?.message.content], ['one', 'two'])
  })

  it('lists its models', async () => {
    await using server = await openaiServer({ script: [], models: ['gpt-5', 'gpt-5-mini'] })
    const client = clientOf(server)
    const { data } = await client.models.list()
    assert.deepEqual(
      data.map((model) => model.id),
      ['gpt-5', 'gpt-5-mini'],
    )
    assert.equal((await client.models.retrieve('gpt-5')).id, 'gpt-5')
    await assert.rejects(client.models.retrieve('gpt-6'), OpenAI.NotFoundError)
  })

  it('lets go of every connection when it closes', async () => {
    const server = await openaiServer({ script: [{ fault: 'hang' }] })
    const call = clientOf(server).chat.completions.create({ model: 'gpt-5-mini', messages: question })
    while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
    await server.close()
    await assert.rejects(call, OpenAI.APIConnectionError)
    assert.equal(server.requests[0]?.answered, false)
  })
})
