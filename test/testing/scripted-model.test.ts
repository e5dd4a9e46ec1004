import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { openaiServer, type ScriptedAnswer, scriptedModel } from 'perdure/testing'
import type { ModelRequest } from '../../src/actors/model.ts'
import { isPerdureError, PerdureError, type PerdureErrorCode } from '../../src/errors.ts'
import { toContext } from '../support/model-call.ts'

const ask = (content: string): ModelRequest => ({
  model: 'gpt-5-mini',
  systemPrompt: 'Be brief.',
  settings: {},
  tools: [],
  messages: [{ role: 'user', content }],
})

const listen = (signal = new AbortController().signal) => {
  const heard: string[] = []
  return { heard, context: toContext({ signal, onText: (delta) => heard.push(delta) }) }
}

const hasCode = (code: PerdureErrorCode, message = /./) => {
  return (error: unknown) => isPerdureError(error, code) && message.test(error.message)
}

describe('scriptedModel', () => {
  it('answers in the order of its script and remembers what it was asked', async () => {
    const model = scriptedModel(['One.', { text: 'Two.' }])
    const { context } = listen()
    assert.equal((await model(ask('1'), context)).message.content, 'One.')
    assert.equal((await model(ask('2'), context)).message.content, 'Two.')
    assert.deepEqual(model.requests, [ask('1'), ask('2')])
    assert.equal(model.calls, 2)
    model.done()
  })

  it('lets a function read the conversation and decide', async () => {
    const model = scriptedModel(({ messages }, call) => `${call}: ${messages.at(-1)?.content}`)
    const { context } = listen()
    assert.equal((await model(ask('ping'), context)).message.content, '1: ping')
    assert.equal((await model(ask('ping'), context)).message.content, '2: ping')
    model.done()
  })

  it('gives the text in pieces that join to it', async () => {
    const { heard, context } = listen()
    const text = '  It is\n\nsunny in  Zürich. '
    await scriptedModel([text])(ask('?'), context)
    assert.ok(heard.length > 3)
    assert.equal(heard.join(''), text)
  })

  it('gives the pieces that the script names', async () => {
    const { heard, context } = listen()
    const answer = await scriptedModel([{ deltas: ['su', 'nny'] }])(ask('?'), context)
    assert.deepEqual(heard, ['su', 'nny'])
    assert.equal(answer.message.content, 'sunny')
  })

  it('derives ids and usage from the conversation, so two processes get the same', async () => {
    const script: ScriptedAnswer[] = [{ toolCalls: [{ name: 'weather', arguments: { city: 'Paris' } }, { name: 'time' }] }]
    const { context } = listen()
    const first = await scriptedModel(script)(ask('?'), context)
    const second = await scriptedModel(script)(ask('?'), context)
    assert.deepEqual(first, second)
    assert.deepEqual(first.message.toolCalls, [
      { id: 'call_1_0', name: 'weather', arguments: '{"city":"Paris"}' },
      { id: 'call_1_1', name: 'time', arguments: '{}' },
    ])
    assert.deepEqual(first.usage, { inputTokens: 3, outputTokens: 8, cachedInputTokens: 0, reasoningTokens: 0 })
  })

  it('says the usage and the cost that the script names, and no cost otherwise', async () => {
    const model = scriptedModel([{ text: 'Hi', usage: { inputTokens: 1000, cachedInputTokens: 900 }, costUsd: 0.5 }, 'Hi'])
    const { context } = listen()
    const named = await model(ask('?'), context)
    assert.deepEqual(named.usage, { inputTokens: 1000, outputTokens: 1, cachedInputTokens: 900, reasoningTokens: 0 })
    assert.equal(named.costUsd, 0.5)
    assert.equal((await model(ask('?'), context)).costUsd, undefined)
  })

  it('fails a call beyond the script with its number', async () => {
    const model = scriptedModel(['One.'])
    const { context } = listen()
    await model(ask('1'), context)
    await assert.rejects(model(ask('2'), context), hasCode('MODEL_BAD_REQUEST', /has 1 answer and this is call 2/))
    assert.throws(() => model.done(), /has 1 answer; 2 were asked for/)
  })

  it('is not done while answers are left over', () => {
    assert.throws(() => scriptedModel(['One.', 'Two.']).done(), /has 2 answers; 2 were never asked for, from answer 1 on/)
  })

  it('refuses pieces that do not join to the text', async () => {
    const { context } = listen()
    await assert.rejects(scriptedModel([{ text: 'sunny', deltas: ['rain'] }])(ask('?'), context), TypeError)
  })

  it('throws the error of the script', async () => {
    const { context } = listen()
    const error = new Error('no luck')
    await assert.rejects(scriptedModel([{ error }])(ask('?'), context), error)
  })

  it('is not asked at all when the signal has aborted before', async () => {
    const model = scriptedModel(['One.'])
    await assert.rejects(model(ask('?'), listen(AbortSignal.abort()).context), hasCode('ABORTED'))
    assert.equal(model.calls, 0)
  })

  const waits: Record<string, ScriptedAnswer> = {
    'for a promise': { text: 'late', until: new Promise(() => {}) },
    'for its delay': { text: 'late', delayMs: 86_400_000 },
    forever: { fault: 'hang' },
    'in the middle': { text: 'so far', fault: 'stall' },
  }
  for (const [how, answer] of Object.entries(waits)) {
    it(`stops waiting ${how} when the signal aborts`, async () => {
      const controller = new AbortController()
      const call = scriptedModel([answer])(ask('?'), listen(controller.signal).context)
      controller.abort(new Error('enough'))
      await assert.rejects(call, hasCode('ABORTED'))
    })
  }

  it('stops between two pieces of text when the signal aborts', async () => {
    const controller = new AbortController()
    const heard: string[] = []
    const onText = (delta: string) => {
      heard.push(delta)
      controller.abort()
    }
    const call = scriptedModel(['one two three'])(ask('?'), { ...listen(controller.signal).context, onText })
    await assert.rejects(call, hasCode('ABORTED'))
    assert.deepEqual(heard, ['one'])
  })

  it('waits before the answer and between its pieces on the clock it is given', async () => {
    const waited: number[] = []
    const model = scriptedModel([{ text: 'one two', delayMs: 5 }], {
      delayMs: 10,
      chunkDelayMs: 3,
      sleep: async (delayMs) => waited.push(delayMs),
    })
    await model(ask('?'), listen().context)
    assert.deepEqual(waited, [15, 3])
  })

  const failures: [ScriptedAnswer, PerdureErrorCode][] = [
    [{ fault: { status: 401 } }, 'MODEL_UNAUTHORIZED'],
    [{ fault: { status: 404 } }, 'MODEL_NOT_FOUND'],
    [{ fault: { status: 429 } }, 'MODEL_UNAVAILABLE'],
    [{ fault: { status: 503 } }, 'MODEL_UNAVAILABLE'],
    [{ fault: { status: 400 } }, 'MODEL_BAD_REQUEST'],
    [{ text: 'a b', fault: 'disconnect' }, 'MODEL_UNAVAILABLE'],
    [{ text: 'a b', fault: 'cut' }, 'MODEL_UNAVAILABLE'],
    [{ text: 'a b', fault: 'no-finish' }, 'MODEL_UNAVAILABLE'],
    [{ text: 'a b', fault: 'length' }, 'MODEL_CUT_OFF'],
    [{ text: 'a b', fault: 'malformed' }, 'MODEL_BAD_ANSWER'],
    [{ text: 'a b', fault: 'empty' }, 'MODEL_BAD_ANSWER'],
    [{ text: 'a b', fault: 'refusal' }, 'MODEL_REFUSED'],
    [{ text: 'a b', fault: 'stream-error' }, 'MODEL_UNAVAILABLE'],
    [{}, 'MODEL_BAD_ANSWER'],
  ]
  for (const [answer, code] of failures) {
    it(`fails with ${code} at ${JSON.stringify(answer)}`, async () => {
      const { heard, context } = listen()
      await assert.rejects(scriptedModel([answer])(ask('?'), context), hasCode(code))
      const isHalf = answer.fault === 'cut' || answer.fault === 'malformed' || answer.fault === 'stream-error'
      const isWhole = answer.fault === 'no-finish' || answer.fault === 'length'
      assert.deepEqual(heard, isWhole ? ['a', ' b'] : isHalf ? ['a'] : [])
    })
  }
})

describe('what an answer of a scriptedModel expects', () => {
  it('is asserted of the request, with the number of the call', async () => {
    const numbers: number[] = []
    const expect = ({ messages }: ModelRequest, call: number): void => {
      numbers.push(call)
      assert.equal(messages.at(-1)?.content, `question ${call}`)
    }
    const model = scriptedModel([
      { text: 'one', expect },
      { text: 'two', expect },
    ])
    await model(ask('question 1'), toContext())
    await model(ask('question 2'), toContext())
    assert.deepEqual(numbers, [1, 2])
    model.done()
  })

  it('fails the call that is another, and `done`, with what was thrown', async () => {
    const thrown = new assert.AssertionError({ message: 'no tools' })
    const expect = async (): Promise<void> => Promise.reject(thrown)
    const model = scriptedModel(['one', { text: 'two', expect }])
    await model(ask('?'), toContext())
    const isUnexpected = (error: unknown): boolean => {
      assert.ok(isPerdureError(error))
      assert.equal(error.code, 'MODEL_BAD_REQUEST')
      assert.equal(error.message, 'Call 2 of the script asks for something else than its answer expects: no tools')
      assert.equal(error.cause, thrown)
      assert.deepEqual(error.details, { call: 2 })
      return true
    }
    await assert.rejects(model(ask('?'), toContext()), isUnexpected)
    assert.throws(() => model.done(), isUnexpected) // although the script has been used up
  })

  it('is asserted by a server too', async () => {
    await using server = await openaiServer({ script: [{ text: 'one', expect: () => assert.fail('no tools') }] })
    const response = await fetch(`${server.url}/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ model: 'm', messages: [{ role: 'user', content: '?' }] }),
    })
    assert.equal(response.status, 400)
    assert.match(await response.text(), /Call 1 of the script asks for something else than its answer expects: no tools/)
    assert.throws(() => server.done(), /no tools/)
  })
})

describe('scriptedModel in the background', () => {
  const suspended = new PerdureError('STORE_CLOSED', 'The runtime closes.')

  it('goes on without whoever asked, and gives the whole answer to whoever comes back', async () => {
    const gate = Promise.withResolvers<void>()
    const model = scriptedModel([{ text: 'one two', toolCalls: [{ name: 'weather' }], until: gate.promise }], {
      background: true,
    })
    const ids: string[] = []
    const controller = new AbortController()
    const call = model(ask('?'), toContext({ signal: controller.signal, onResponse: (id) => ids.push(id) }))
    controller.abort(suspended)
    await assert.rejects(call, hasCode('ABORTED'))
    const { heard, context } = listen()
    const resumed = model.resume?.(ids[0] ?? '', ask('?'), context)
    gate.resolve()
    assert.equal((await resumed)?.message.content, 'one two')
    assert.equal(heard.join(''), 'one two')
    const again = await model.resume?.(ids[0] ?? '', ask('?'), context)
    assert.deepEqual(again, await resumed)
    assert.equal(model.calls, 1)
    assert.deepEqual(model.resumed, [...ids, ...ids])
  })

  it('has nothing to come back for when it was cancelled, has failed, or is not known', async () => {
    const model = scriptedModel(
      [
        { text: 'a', until: new Promise(() => {}) },
        { text: 'a b', fault: 'cut' },
      ],
      { background: true },
    )
    const controller = new AbortController()
    const call = model(ask('?'), toContext({ signal: controller.signal }))
    controller.abort()
    await assert.rejects(call, hasCode('ABORTED'))
    const { context } = listen()
    await assert.rejects(model(ask('?'), context), hasCode('MODEL_UNAVAILABLE'))
    for (const id of ['resp_1', 'resp_2', 'resp_3']) assert.equal(await model.resume?.(id, ask('?'), context), undefined)
  })

  it('cannot be resumed unless it is told to', () => {
    assert.equal(scriptedModel([]).resume, undefined)
  })

  it('tells the arguments of its calls in pieces', async () => {
    const pieces: string[] = []
    const args = { city: 'São Paulo', unit: 'celsius' }
    const model = scriptedModel([{ toolCalls: [{ name: 'weather', arguments: args, id: 'a' }] }])
    await model(ask('?'), toContext({ onArguments: ({ callId, name, delta }) => pieces.push(callId, name, delta) }))
    assert.deepEqual(pieces.slice(0, 2), ['a', 'weather'])
    assert.ok(pieces.length > 3)
    assert.deepEqual(JSON.parse(pieces.filter((_, at) => at % 3 === 2).join('')), args)
  })
})
