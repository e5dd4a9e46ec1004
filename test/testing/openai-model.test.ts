import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Fault, openaiServer, type Script, scriptedModel } from 'perdure/testing'
import type { Model, ModelRequest } from '../../src/actors/model.ts'
import { openaiModel } from '../../src/actors/openai/model.ts'
import { isPerdureError } from '../../src/errors.ts'
import type { Message } from '../../src/machines/conversation.ts'
import { toContext } from '../support/model-call.ts'

const tools = [
  { name: 'weather', description: 'Weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
]
const toRequest = (messages: readonly Message[]): ModelRequest => ({
  model: 'm',
  systemPrompt: 'Be brief.',
  settings: {},
  tools,
  messages,
})
const question = toRequest([{ role: 'user', content: 'Weather?' }])

const ask = async (model: Model, request: ModelRequest) => {
  let heard = ''
  const onText = (delta: string) => {
    heard += delta
  }
  const answer = await model(request, toContext({ onText }))
  return { ...answer, heard }
}

const failureOf = async (model: Model) => {
  try {
    await ask(model, question)
  } catch (error) {
    return isPerdureError(error) ? error.code : error
  }
  return 'no failure'
}

const faults: Fault[] = [
  { status: 400 },
  { status: 401 },
  { status: 402 },
  { status: 404 },
  { status: 413 },
  { status: 429 },
  { status: 500 },
  'disconnect',
  'cut',
  'malformed',
  'empty',
  'no-finish',
  'length',
  'refusal',
  'stream-error',
]

for (const api of ['chat', 'responses'] as const) {
  describe(`a scripted model beside the real one, ${api}`, () => {
    const connect = ({ url }: { url: string }) => openaiModel({ baseUrl: url, apiKey: 'sk-test', api, maxRetries: 0 })

    it('gives the same answers through a whole turn', async () => {
      const script: Script = ({ messages }) =>
        messages.at(-1)?.role === 'tool'
          ? 'It is sunny in both.'
          : { text: 'Let me look.', toolCalls: ['Paris', 'São Paulo'].map((city) => ({ name: 'weather', arguments: { city } })) }
      await using server = await openaiServer({ script })
      const [real, scripted] = [connect(server), scriptedModel(script)]
      const messages: Message[] = [...question.messages]
      for (let call = 0; call < 2; call += 1) {
        const [there, here] = await Promise.all([ask(real, toRequest(messages)), ask(scripted, toRequest(messages))])
        const { items: _, ...message } = there.message
        assert.deepEqual(message, here.message)
        assert.deepEqual([there.usage, there.heard, there.model], [here.usage, here.heard, here.model])
        messages.push(there.message)
        for (const { id, name } of there.message.toolCalls) {
          messages.push({ role: 'tool', callId: id, name, content: 'sunny', isError: false })
        }
      }
      assert.equal(messages.length, 5)
      assert.deepEqual(server.rejections, [])
    })

    for (const fault of faults) {
      it(`fails with the same code at ${JSON.stringify(fault)}`, async () => {
        const script = [{ text: 'one two three four', fault }]
        await using server = await openaiServer({ script })
        assert.equal(await failureOf(scriptedModel(script)), await failureOf(connect(server)))
      })
    }
  })
}
