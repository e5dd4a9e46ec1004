import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openaiServer, type Script } from 'perdure/testing'
import { PerdureError } from '../../../src/errors.ts'
import { createRig, expectError, type ModelRig, startRig, toRequest } from '../../support/model-call.ts'
import { toJsonAnswer, toNamedSse } from '../../support/wire-server.ts'

const tools = [{ name: 'weather', description: 'Weather', parameters: { type: 'object', properties: {} } }]
const script: Script = () => ({
  text: 'Let me look at it.',
  toolCalls: [{ name: 'weather', arguments: { city: 'São Paulo' }, id: 'call_a' }],
})

/** A fetch whose event streams break off after so many events, each in its turn; the last number counts for all that follow. */
function cutting(...counts: readonly number[]): typeof fetch {
  let streams = 0
  return async (input, init) => {
    const response = await fetch(input, init)
    if (!response.headers.get('content-type')?.startsWith('text/event-stream') || response.body === null) return response
    let left = counts[Math.min(streams++, counts.length - 1)] ?? 0
    const source = response.body.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]()
    const pending: string[] = []
    let rest = ''
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        while (pending.length === 0) {
          const { value, done } = await source.next()
          if (done) return controller.close()
          const events = (rest + value).split('\n\n')
          rest = events.pop() ?? ''
          pending.push(...events)
        }
        if (left-- > 0) return controller.enqueue(new TextEncoder().encode(`${pending.shift()}\n\n`))
        await source.return?.()
        controller.error(new TypeError('terminated'))
      },
    })
    return new Response(body, response)
  }
}

const connect = (server: { url: string }, options: Parameters<typeof createRig>[1] = {}) =>
  createRig(server.url, { api: 'responses', background: true, ...options })

/** A wait that a test lets go. */
function createGate() {
  const reached = Promise.withResolvers<void>()
  const open = Promise.withResolvers<void>()
  const sleep = (_delayMs: number, signal: AbortSignal) => {
    reached.resolve()
    return Promise.race([
      open.promise,
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
    ])
  }
  return { reached: reached.promise, open: open.resolve, sleep }
}

/** Asks, and waits until the answer is in its middle and its id is known. */
async function begin(rig: Pick<ModelRig, 'model' | 'context'>, gate: { readonly reached: Promise<void> }) {
  const known = Promise.withResolvers<string>()
  const call = rig.model(toRequest({ tools }), { ...rig.context, onResponse: known.resolve })
  const aborted = expectError(call, 'ABORTED')
  const id = await known.promise
  await gate.reached
  return { id, aborted }
}

const suspension = new PerdureError('STORE_CLOSED', 'The runtime closes.')

test('an answer in the background is asked for once, and its id is told before its first piece', async () => {
  await using server = await openaiServer({ script })
  const rig = connect(server)
  const order: string[] = []
  const answer = await rig.model(toRequest({ tools }), {
    ...rig.context,
    onResponse: (id) => order.push(id),
    onText: () => order.push('text'),
    onArguments: () => order.push('arguments'),
  })
  const id = server.requests[0]?.background?.id
  assert.ok(id?.startsWith('resp_'))
  assert.equal(answer.responseId, id)
  assert.equal(order[0], id)
  assert.equal(order.filter((each) => each === id).length, 1)
  assert.ok(order.includes('text') && order.at(-1) === 'arguments')
  const { background, store, stream } = server.requests[0]?.body ?? {}
  assert.deepEqual({ background, store, stream }, { background: true, store: true, stream: true })
  assert.deepEqual(server.fetches, [])
  assert.equal(server.requests[0]?.answered, true)
})

test('only the Responses API answers in the background, and only then an answer can be resumed', () => {
  const at = { baseUrl: 'http://127.0.0.1:9/v1', background: true }
  assert.throws(() => createRig(at.baseUrl, at), { name: 'TypeError', message: /`api` to be 'responses'.*'chat'/ })
  assert.throws(() => createRig(at.baseUrl, { ...at, api: 'chat' }), TypeError)
  assert.equal(createRig(at.baseUrl, { api: 'responses' }).model.resume, undefined)
  assert.equal(typeof createRig(at.baseUrl, { ...at, api: 'responses' }).model.resume, 'function')
})

test('a stream that is cut after any of its events goes on where it was, without a retry and paid for once', async () => {
  await using whole = await openaiServer({ script })
  const expected = connect(whole)
  const { message, usage } = await expected.ask({ tools })
  for (let events = 1; ; events += 1) {
    await using server = await openaiServer({ script })
    const rig = connect(server, { fetch: cutting(events, 1000) })
    const answer = await rig.ask({ tools })
    assert.deepEqual(answer.message, message)
    assert.deepEqual(answer.usage, usage)
    assert.equal(rig.deltas.join(''), 'Let me look at it.', `after ${events} events`)
    assert.equal(rig.argumentDeltas.map((each) => each.replace('call_a weather: ', '')).join(''), '{"city":"São Paulo"}')
    assert.deepEqual(rig.retries, [])
    assert.equal(rig.responseIds.length, 1)
    assert.equal(server.requests.length, 1)
    assert.deepEqual(server.rejections, [])
    if (server.fetches.length === 0) break
    assert.ok(events < 100)
  }
})

test('a stream in which each connection brings one event comes to its end', async () => {
  const gate = createGate()
  await using server = await openaiServer({ script, chunkDelayMs: 1, sleep: gate.sleep })
  const rig = connect(server, { fetch: cutting(1), maxRetries: 1 })
  const call = rig.ask({ tools })
  await gate.reached
  gate.open()
  const { message } = await call
  assert.equal(message.content, 'Let me look at it.')
  assert.equal(rig.deltas.join(''), message.content)
  assert.equal(server.requests.length, 1)
  assert.deepEqual(rig.retries, [])
})

test('a stream is taken up after the last event that was read', async (t) => {
  const at = (number: number, type: string, more: object = {}) => ({ type, sequence_number: number, ...more })
  const inProgress = { id: 'resp_1', model: 'gpt-5-mini', status: 'in_progress', output: [] }
  const item = { type: 'message', content: [{ type: 'output_text', text: 'Hello' }] }
  const completed = { ...inProgress, status: 'completed', output: [item] }
  const rig = await startRig(
    t,
    [
      {
        body: toNamedSse(
          at(0, 'response.created', { response: inProgress }),
          at(7, 'response.output_text.delta', { delta: 'Hel' }),
        ),
        ending: 'cut',
      },
      toJsonAnswer(inProgress),
      {
        // It repeats what was read.
        body: toNamedSse(
          at(7, 'response.output_text.delta', { delta: 'Hel' }),
          at(8, 'response.output_text.delta', { delta: 'lo' }),
          at(9, 'response.completed', { response: completed }),
        ),
      },
    ],
    { api: 'responses', background: true },
  )
  const { message } = await rig.ask({ model: 'gpt-5-mini' })
  assert.equal(message.content, 'Hello')
  assert.deepEqual(rig.deltas, ['Hel', 'lo'])
  assert.deepEqual(
    rig.server.requests.map(({ method, path }) => `${method} ${decodeURIComponent(path)}`),
    [
      'POST /v1/responses',
      'GET /v1/responses/resp_1?include[]=reasoning.encrypted_content',
      'GET /v1/responses/resp_1?include[]=reasoning.encrypted_content&stream=true&starting_after=7',
    ],
  )
})

test('an answer that cannot be streamed is looked at until it is there', async (t) => {
  const queued = { id: 'resp_1', status: 'queued', output: [] }
  const item = { type: 'message', content: [{ type: 'output_text', text: 'Hello' }] }
  const refused = toJsonAnswer({ error: { message: 'It was not created with stream=true.' } }, 400)
  const rig = await startRig(
    t,
    [
      toJsonAnswer(queued),
      toJsonAnswer(queued),
      refused,
      toJsonAnswer({ ...queued, status: 'in_progress' }),
      toJsonAnswer({ ...queued, status: 'completed', output: [item] }),
    ],
    { api: 'responses', background: true },
  )
  assert.equal((await rig.ask()).message.content, 'Hello')
  assert.deepEqual(rig.deltas, ['Hello'])
  assert.deepEqual(rig.sleeps, [1000, 1000])
  assert.deepEqual(rig.responseIds, ['resp_1'])
})

test('an answer that never ends is given up, and left at the provider', async (t) => {
  const queued = toJsonAnswer({ id: 'resp_1', status: 'queued', output: [] })
  const rig = await startRig(t, [queued], { api: 'responses', background: true, maxRetries: 1, timeoutMs: 3_000 })
  const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.match(error.message, /does not come to an end/)
  assert.ok(rig.server.requests.every(({ path }) => !path.endsWith('/cancel')))
  assert.equal(rig.server.requests.filter(({ method }) => method === 'POST').length, 1, 'It is not asked for again')
})

test('a provider that is gone in the middle is waited for as retries are, and the call is not made again', async () => {
  await using server = await openaiServer({ script: [{ text: 'one two three', fault: 'cut' }] })
  let isGone = false
  const rig = connect(server, {
    maxRetries: 3,
    fetch: (input, init) => {
      if (isGone) throw new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') })
      isGone = true
      return fetch(input, init)
    },
  })
  const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.deepEqual(rig.sleeps, [500, 1000])
  assert.deepEqual(rig.retries, [])
  assert.equal(error.details.attempts, 1)
  isGone = false
  const [id] = rig.responseIds
  assert.equal((await connect(server).resume(id ?? ''))?.message.content, 'one two three')
  assert.equal(server.requests.length, 1)
})

for (const fault of ['cut', 'malformed', 'no-finish'] as const) {
  test(`a connection with the fault ${fault} does not cost the answer`, async () => {
    await using server = await openaiServer({ script: [{ text: 'one two three four', fault }] })
    const rig = connect(server)
    assert.equal((await rig.ask()).message.content, 'one two three four')
    assert.equal(rig.deltas.join(''), 'one two three four')
    assert.deepEqual(rig.retries, [])
    assert.equal(server.requests.length, 1)
  })
}

test('a silent connection is made again', async () => {
  await using server = await openaiServer({ script: [{ text: 'one two three four', fault: 'stall' }] })
  const rig = connect(server, { timeoutMs: 200 })
  assert.equal((await rig.ask()).message.content, 'one two three four')
  assert.equal(server.requests.length, 1)
})

test('an answer that failed at the provider is asked for again, and its text is void', async () => {
  await using server = await openaiServer({ script: [{ text: 'one two three four', fault: 'stream-error' }, 'five'] })
  const rig = connect(server)
  assert.equal((await rig.ask()).message.content, 'five')
  assert.equal(rig.deltas.join(''), 'five')
  assert.equal(rig.retries.length, 1)
  assert.equal(rig.responseIds.length, 2)
})

test('an answer that is resumed in the middle is heard from its beginning, and paid for once', async () => {
  const gate = createGate()
  await using server = await openaiServer({ script, chunkDelayMs: 1, sleep: gate.sleep })
  const first = connect(server)
  const { id, aborted } = await begin(first, gate)
  first.abort.abort(suspension)
  await aborted
  assert.equal(server.requests[0]?.background?.status, 'in_progress')
  const second = connect(server)
  const onResponse = (known: string) => {
    second.context.onResponse(known)
    gate.open()
  }
  const answer = await second.model.resume?.(id, toRequest({ tools }), { ...second.context, onResponse })
  assert.equal(answer?.message.content, 'Let me look at it.')
  assert.equal(answer.message.toolCalls[0]?.arguments, '{"city":"São Paulo"}')
  assert.ok(second.deltas.length > 1)
  assert.equal(second.deltas.join(''), 'Let me look at it.')
  assert.deepEqual(second.responseIds, [id])
  assert.equal(server.requests.length, 1)
  assert.deepEqual(
    server.fetches.map(({ kind }) => kind),
    ['look', 'stream'],
  )
})

test('an answer that is still queued is resumed too', async () => {
  const gate = Promise.withResolvers<void>()
  await using server = await openaiServer({ script: [{ text: 'late', until: gate.promise }] })
  const first = connect(server)
  const { id, aborted } = await begin(first, { reached: Promise.resolve() })
  assert.equal(server.requests[0]?.background?.status, 'queued')
  first.abort.abort(suspension)
  await aborted
  const resumed = connect(server).resume(id)
  gate.resolve()
  assert.equal((await resumed)?.message.content, 'late')
})

test('an answer that was completed meanwhile is fetched in one request, with its usage and cost', async () => {
  await using server = await openaiServer({ script })
  const first = connect(server)
  const asked = await first.ask({ model: 'gpt-5-mini', tools })
  const second = connect(server)
  const fetched = await second.resume(first.responseIds[0] ?? '', { model: 'gpt-5-mini', tools })
  assert.deepEqual(fetched, asked)
  assert.ok((fetched?.costUsd ?? 0) > 0)
  assert.deepEqual(second.deltas, ['Let me look at it.'])
  assert.deepEqual(second.argumentDeltas, ['call_a weather: {"city":"São Paulo"}'])
  assert.deepEqual(
    server.fetches.map(({ kind, status }) => [kind, status]),
    [['look', 'completed']],
  )
})

test('what cannot be had is asked for again: an unknown id, a failed and a cancelled answer', async () => {
  await using server = await openaiServer({
    script: [
      { text: 'one two', fault: 'stream-error' },
      { text: 'three four', until: new Promise(() => {}) },
    ],
  })
  const rig = connect(server, { maxRetries: 0 })
  assert.equal(await rig.resume('resp_unknown'), undefined)
  assert.deepEqual(rig.retries, [])
  await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.equal(await rig.resume(rig.responseIds[0] ?? ''), undefined)
  assert.equal(rig.retries.length, 1, 'What was heard of it is void')

  const cancelled = connect(server)
  const { id, aborted } = await begin(cancelled, { reached: Promise.resolve() })
  cancelled.abort.abort()
  await aborted
  assert.equal(await rig.resume(id), undefined)
})

test('what another attempt cannot change is the error that it is: an answer at its limit, a refusal', async () => {
  await using server = await openaiServer({
    script: [
      { text: 'one two', fault: 'length' },
      { text: 'I will not', fault: 'refusal' },
    ],
  })
  const rig = connect(server)
  await expectError(rig.ask(), 'MODEL_CUT_OFF')
  await expectError(rig.ask(), 'MODEL_REFUSED')
  const [limited, refused] = rig.responseIds
  const error = await expectError(rig.resume(limited ?? ''), 'MODEL_CUT_OFF')
  assert.ok(error.details.usage, 'It was paid for')
  await expectError(rig.resume(refused ?? ''), 'MODEL_REFUSED')
  assert.equal(server.requests.length, 2)
})

test('a key that is not accepted any more fails a resume at once, and shows no key', async (t) => {
  const refused = toJsonAnswer({ error: { message: 'Incorrect API key provided', code: 'invalid_api_key' } }, 401)
  const rig = await startRig(t, [refused], { api: 'responses', background: true })
  await expectError(rig.resume('resp_1'), 'MODEL_UNAUTHORIZED')
  assert.equal(rig.server.requests.length, 1)
})

test('a cancellation ends the answer at the provider, a suspension leaves it', async () => {
  for (const [reason, status] of [
    [new Error('stop'), 'cancelled'],
    [new PerdureError('LIMIT_REACHED', 'Too much.'), 'cancelled'],
    [suspension, 'in_progress'],
  ] as const) {
    const gate = createGate()
    await using server = await openaiServer({ script, chunkDelayMs: 1, sleep: gate.sleep })
    const rig = connect(server)
    const { aborted } = await begin(rig, gate)
    rig.abort.abort(reason)
    await aborted
    assert.equal(server.requests[0]?.background?.status, status)
    assert.equal(server.fetches.filter(({ kind }) => kind === 'cancel').length, status === 'cancelled' ? 1 : 0)
  }
})

test('a cancellation of a resumed answer ends it at the provider', async () => {
  const gate = createGate()
  await using server = await openaiServer({ script, chunkDelayMs: 1, sleep: gate.sleep })
  const first = connect(server)
  const { id, aborted } = await begin(first, gate)
  first.abort.abort(suspension)
  await aborted
  const second = connect(server)
  const context = { ...second.context, onResponse: () => second.abort.abort() }
  const resumed = second.model.resume?.(id, toRequest({ tools }), context)
  await expectError(Promise.resolve(resumed), 'ABORTED')
  assert.equal(server.requests[0]?.background?.status, 'cancelled')
})

test('a provider that does not answer a cancellation is not waited for', async () => {
  const gate = createGate()
  await using server = await openaiServer({ script, chunkDelayMs: 1, sleep: gate.sleep })
  const cancels: (AbortSignal | null | undefined)[] = []
  const rig = connect(server, {
    fetch: (input, init) => {
      if (!String(input).endsWith('/cancel')) return fetch(input, init)
      cancels.push(init?.signal)
      return new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
    },
  })
  const { aborted } = await begin(rig, gate)
  rig.abort.abort()
  await aborted
  assert.equal(cancels.length, 1)
})

test('a cancellation before the id is known waits for it, so that the answer is not made for nobody', async () => {
  await using server = await openaiServer({ script: [{ text: 'late', until: new Promise(() => {}) }] })
  const rig = connect(server, {
    fetch: (input, init) => {
      if (init?.method === 'POST' && !String(input).endsWith('/cancel')) queueMicrotask(() => rig.abort.abort())
      return fetch(input, init)
    },
  })
  await expectError(rig.ask(), 'ABORTED')
  assert.equal(server.requests[0]?.background?.status, 'cancelled')
})
