import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import OpenAI from 'openai'
import { type Fault, openaiServer } from 'perdure/testing'
import { PerdureError, type PerdureErrorCode } from '../../src/errors.ts'

const text = 'one two three four'
const clientOf = ({ url }: { url: string }, maxRetries = 0) => new OpenAI({ baseURL: url, apiKey: 'sk-test', maxRetries })
const serve = (fault: Fault) => openaiServer({ script: [{ text, fault }] })

/** What a client gets to see of an answer. */
interface Seen {
  text: string
  /** `finish_reason`, or the type of the last event. */
  last: string | null | undefined
  error: unknown
}

const ways: Record<string, (client: OpenAI, signal?: AbortSignal, onText?: () => void) => Promise<Seen>> = {
  'Chat Completions': async (client, signal, onText) => {
    const seen: Seen = { text: '', last: null, error: undefined }
    try {
      const request = { model: 'm', messages: [{ role: 'user' as const, content: 'Hi' }], stream: true as const }
      for await (const chunk of await client.chat.completions.create(request, { signal })) {
        const choice = chunk.choices[0]
        seen.text += choice?.delta.content ?? choice?.delta.refusal ?? ''
        seen.last = choice?.finish_reason ?? seen.last
        if (seen.text !== '') onText?.()
      }
    } catch (error) {
      seen.error = error
    }
    return seen
  },
  Responses: async (client, signal, onText) => {
    const seen: Seen = { text: '', last: null, error: undefined }
    try {
      for await (const event of await client.responses.create({ model: 'm', input: 'Hi', stream: true }, { signal })) {
        if (event.type === 'response.output_text.delta' || event.type === 'response.refusal.delta') seen.text += event.delta
        seen.last = event.type
        if (seen.text !== '') onText?.()
      }
    } catch (error) {
      seen.error = error
    }
    return seen
  },
}

for (const [api, ask] of Object.entries(ways)) {
  const isChat = api === 'Chat Completions'

  describe(`a fault of openaiServer, ${api}`, () => {
    it('is a status with the body and headers of the script', async () => {
      const fault = { status: 429, body: { error: { message: 'Slow down', code: 'slow' } }, headers: { 'retry-after': '7' } }
      await using server = await serve(fault)
      const { error } = await ask(clientOf(server))
      assert.ok(error instanceof OpenAI.RateLimitError)
      assert.deepEqual([error.status, error.code, error.headers.get('retry-after')], [429, 'slow', '7'])
      assert.match(error.message, /Slow down/)
    })

    it("is a status with OpenAI's own error where the script gives no body", async () => {
      await using server = await serve({ status: 401 })
      const { error } = await ask(clientOf(server))
      assert.ok(error instanceof OpenAI.AuthenticationError)
      assert.equal(error.code, 'invalid_api_key')
    })

    it('is a connection that breaks before the first byte', async () => {
      await using server = await serve('disconnect')
      assert.ok((await ask(clientOf(server))).error instanceof OpenAI.APIConnectionError)
    })

    it('is a stream that breaks in the middle', async () => {
      await using server = await serve('cut')
      const { text: heard, error } = await ask(clientOf(server))
      assert.ok(error instanceof Error)
      assert.ok(heard.length > 0 && heard.length < text.length && text.startsWith(heard), heard)
    })

    it('is a stream with bytes that are no JSON', async () => {
      await using server = await serve('malformed')
      const { text: heard, error } = await ask(clientOf(server))
      assert.ok(error instanceof SyntaxError)
      assert.ok(text.startsWith(heard))
    })

    it('is a stream without any event', async () => {
      await using server = await serve('empty')
      assert.deepEqual(await ask(clientOf(server)), { text: '', last: null, error: undefined })
    })

    it('is a stream that does not say that it is complete', async () => {
      await using server = await serve('no-finish')
      const last = isChat ? null : 'response.output_item.done'
      assert.deepEqual(await ask(clientOf(server)), { text, last, error: undefined })
      assert.equal(server.requests[0]?.answered, false)
    })

    it('is an answer that ends at the token limit', async () => {
      await using server = await serve('length')
      const last = isChat ? 'length' : 'response.incomplete'
      assert.deepEqual(await ask(clientOf(server)), { text, last, error: undefined })
      assert.equal(server.requests[0]?.answered, true)
    })

    it('is a refusal', async () => {
      await using server = await serve('refusal')
      const last = isChat ? 'stop' : 'response.completed'
      assert.deepEqual(await ask(clientOf(server)), { text, last, error: undefined })
    })

    it('is an error inside the stream', async () => {
      await using server = await serve('stream-error')
      const { text: heard, error } = await ask(clientOf(server))
      assert.ok(error instanceof OpenAI.APIError)
      assert.match(error.message, /had an error while processing/)
      assert.ok(heard.length > 0 && heard.length < text.length)
    })

    for (const fault of ['hang', 'stall'] as const) {
      it(`is silence until the client gives up (${fault})`, async () => {
        await using server = await serve(fault)
        const controller = new AbortController()
        const stop = () => controller.abort()
        const call = ask(clientOf(server), controller.signal, fault === 'stall' ? stop : undefined)
        if (fault === 'hang') {
          while (server.requests.length === 0) await new Promise((resolve) => setImmediate(resolve))
          stop()
        }
        const { text: heard } = await call
        assert.ok(fault === 'hang' ? heard === '' : heard.length > 0 && text.startsWith(heard))
        assert.equal(server.requests[0]?.answered, false)
      })
    }

    it('is met by a retry of the client, which gets the next answer', async () => {
      const fault = { status: 500, headers: { 'retry-after-ms': '1' } }
      await using server = await openaiServer({ script: [{ fault }, text] })
      assert.equal((await ask(clientOf(server, 1))).text, text)
      assert.equal(server.requests[0]?.key, server.requests[1]?.key)
      assert.deepEqual(
        server.requests.map((request) => request.answered),
        [false, true],
      )
    })
  })
}

describe('a fault of openaiServer without a stream', () => {
  const ask = (server: { url: string }) =>
    clientOf(server).chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] })

  for (const fault of ['disconnect', 'cut', 'malformed', 'stream-error'] as const) {
    it(`fails the call (${fault})`, async () => {
      await using server = await serve(fault)
      await assert.rejects(ask(server))
      assert.equal(server.requests[0]?.answered, false)
    })
  }

  it('is an empty body', async () => {
    await using server = await serve('empty')
    const body = JSON.stringify({ model: 'm', input: 'Hi' })
    assert.equal(await (await fetch(`${server.url}/responses`, { method: 'POST', body })).text(), '')
  })

  it('is an answer without the reason why it ends', async () => {
    await using server = await serve('no-finish')
    assert.equal((await ask(server)).choices[0]?.finish_reason, null)
  })

  it('is the token limit or a refusal, said in the answer', async () => {
    await using server = await openaiServer({
      script: [{ text, fault: 'length' }, { fault: 'refusal' }, { text, fault: 'length' }],
    })
    assert.equal((await ask(server)).choices[0]?.finish_reason, 'length')
    assert.match((await ask(server)).choices[0]?.message.refusal ?? '', /can't help/)
    const response = await clientOf(server).responses.create({ model: 'm', input: 'Hi' })
    assert.deepEqual([response.status, response.incomplete_details?.reason], ['incomplete', 'max_output_tokens'])
  })

  const codes: [PerdureErrorCode, number][] = [
    ['MODEL_UNAUTHORIZED', 401],
    ['MODEL_NOT_FOUND', 404],
    ['MODEL_QUOTA', 429],
    ['MODEL_CONTEXT_TOO_LONG', 400],
    ['MODEL_UNAVAILABLE', 503],
  ]
  for (const [code, status] of codes) {
    it(`makes ${status} of a scripted ${code}`, async () => {
      await using server = await openaiServer({ script: [{ error: new PerdureError(code, 'as scripted') }] })
      await assert.rejects(ask(server), (error: unknown) => error instanceof OpenAI.APIError && error.status === status)
    })
  }

  it('is a mistake in the script: a 500 that is not retried', async () => {
    const script = () => {
      throw new Error('my mistake')
    }
    await using server = await openaiServer({ script })
    const call = clientOf(server, 5).responses.create({ model: 'm', input: 'Hi' })
    await assert.rejects(call, /500 my mistake/)
    assert.equal(server.requests.length, 1)
  })
})
