import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { openaiModel } from '../../../src/actors/openai/model.ts'
import { isPerdureError, type PerdureErrorCode } from '../../../src/errors.ts'
import { assertNoSecret, keyCanary, toContext, toRequest } from '../../support/model-call.ts'
import { createWireServer } from '../../support/wire-server.ts'

/** Real traffic, not part of the repository: see the README beside it. */
const data = new URL('../../../../shared/data/', import.meta.url)
const skip = existsSync(data) ? false : 'the recorded traffic (../shared/data) is not on this machine'

interface Recording {
  readonly src: string
  readonly idx: number
  readonly method: string
  readonly path: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly req: { readonly background?: boolean } | null
  readonly resp: string
}

type Outcome = { readonly text: string; readonly calls: readonly (readonly string[])[] } | { readonly code: PerdureErrorCode }

function readRecordings(file: string): Recording[] {
  const lines = readFileSync(new URL(file, data), 'utf8').trim().split('\n')
  // The file's README says what a line holds.
  return lines.map((line) => JSON.parse(line) as Recording)
}

/** The loosest reading of an answer, made without the code under test. */
// biome-ignore lint/suspicious/noExplicitAny: recorded JSON of every shape, read once
type Loose = any

function toEvents(body: string): Loose[] {
  if (/^\s*{/.test(body)) return []
  const lines = body.split(/\r?\n/).filter((line) => line.startsWith('data: ') && line !== 'data: [DONE]')
  return lines.map((line) => JSON.parse(line.slice('data: '.length)))
}

function toChatOutcome(body: string): Outcome {
  const events = toEvents(body)
  const choices: Loose[] = events.length > 0 ? events.flatMap((event) => event.choices ?? []) : JSON.parse(body).choices
  const messages: Loose[] = choices.map((choice) => choice.delta ?? choice.message)
  const byIndex = new Map<number, [string, string, string]>()
  for (const message of messages) {
    for (const [at, call] of (message.tool_calls ?? []).entries()) {
      const entry = byIndex.get(call.index ?? at) ?? ['', '', '']
      byIndex.set(call.index ?? at, [
        entry[0] || call.id,
        entry[1] || call.function.name,
        entry[2] + (call.function.arguments ?? ''),
      ])
    }
  }
  if (!choices.some((choice) => choice.finish_reason)) return { code: 'MODEL_UNAVAILABLE' }
  return toOutcome(messages.map((message) => message.content ?? '').join(''), [...byIndex.values()])
}

function toResponsesOutcome(body: string): Outcome {
  const events = toEvents(body)
  const response = events.length > 0 ? events.find((event) => event.type === 'response.completed').response : JSON.parse(body)
  const items: Loose[] = response.output
  const parts: Loose[] = items.filter((item) => item.type === 'message').flatMap((item) => item.content)
  const calls = items.filter((item) => item.type === 'function_call')
  const text = parts.map((part) => part.text ?? '').join('')
  return toOutcome(
    text,
    calls.map((call) => [call.call_id, call.name, call.arguments]),
  )
}

function toOutcome(text: string, calls: readonly (readonly string[])[]): Outcome {
  return text.trim() === '' && calls.length === 0 ? { code: 'MODEL_BAD_ANSWER' } : { text, calls }
}

/** Listens to an answer as it arrives. */
function createEar() {
  let text = ''
  const pieces: Record<string, string> = {}
  return {
    onText(delta: string) {
      text += delta
    },
    onArguments({ callId, delta }: { readonly callId: string; readonly delta: string }) {
      pieces[callId] = (pieces[callId] ?? '') + delta
    },
    text: () => text,
    arguments: () => pieces,
  }
}

async function replay(recording: Recording): Promise<Outcome & { deltas?: string; pieces?: Record<string, string> }> {
  const headers = { 'content-type': recording.headers['content-type'] ?? '' }
  const server = await createWireServer({ status: recording.status, headers, body: recording.resp, pieceBytes: 7 })
  const api = recording.path.includes('chat') ? 'chat' : 'responses'
  const model = openaiModel({ apiKey: keyCanary, baseUrl: server.baseUrl, api, maxRetries: 0 })
  const heard = createEar()
  try {
    const { message, usage } = await model(toRequest(), toContext(heard))
    const counted = [...recording.resp.matchAll(/"(?:prompt|input)_tokens": ?(\d+)/g)].at(-1)?.[1]
    assert.equal(usage?.inputTokens, counted === undefined ? undefined : Number(counted), recording.src)
    const calls = message.toolCalls.map((call) => [call.id, call.name, call.arguments])
    return { text: message.content, calls, deltas: heard.text(), pieces: heard.arguments() }
  } catch (error) {
    if (!isPerdureError(error)) throw error
    assertNoSecret(error)
    return { code: error.code }
  } finally {
    await server.close()
  }
}

test('every recorded answer is read from 7-byte writes as it was meant', { skip }, async () => {
  const recordings = readRecordings('openai-recorded-toolconv.jsonl').filter(
    ({ method, req, status }) => status === 200 && method === 'POST' && req?.background !== true,
  )
  const tally: Record<string, number> = {}
  for (const recording of recordings) {
    const isChat = recording.path.includes('chat')
    const expected = isChat ? toChatOutcome(recording.resp) : toResponsesOutcome(recording.resp)
    const actual = await replay(recording)
    const where = `${recording.src} ${recording.idx}`
    const kind = `${isChat ? 'chat' : 'responses'} ${'code' in expected ? expected.code : 'answer'}`
    tally[kind] = (tally[kind] ?? 0) + 1
    if ('code' in expected || 'code' in actual) {
      assert.deepEqual(actual, expected, where)
    } else {
      assert.deepEqual({ text: actual.text, calls: actual.calls }, expected, where)
      assert.equal(actual.deltas, expected.text, where)
      const withArguments = expected.calls.filter(([, , text]) => text !== '')
      assert.deepEqual(actual.pieces, Object.fromEntries(withArguments.map(([id, , text]) => [id, text])), where)
    }
  }
  assert.deepEqual(tally, {
    'chat answer': 180,
    // Two streams of a router end without a finish: nobody can tell that they are complete.
    'chat MODEL_UNAVAILABLE': 2,
    'responses answer': 159,
    // Two hold nothing but a call of a tool of the provider's own kind, which is never offered.
    'responses MODEL_BAD_ANSWER': 2,
  })
})

test('the recorded conversation in the background is read as it was meant', { skip }, async () => {
  const recordings = readRecordings('openai-recorded-toolconv.jsonl')
  const [first] = recordings.filter(({ req }) => req?.background === true)
  const interactions = recordings.filter(({ src }) => src === first?.src)
  assert.deepEqual(
    interactions.map(({ method }) => method),
    ['POST', 'GET', 'POST', 'GET', 'GET'],
  )
  const server = await createWireServer(
    ...interactions.map(({ headers, resp, status }) => {
      const type = { 'content-type': headers['content-type'] ?? '' }
      return { status, headers: type, body: resp, pieceBytes: 7 }
    }),
  )
  try {
    const model = openaiModel({ apiKey: keyCanary, baseUrl: server.baseUrl, api: 'responses', background: true, maxRetries: 0 })
    for (const [asked, last] of [
      [0, 1],
      [2, 4],
    ] as const) {
      const heard = createEar()
      const ids: string[] = []
      const { message } = await model(toRequest(), toContext({ ...heard, onResponse: (id) => ids.push(id) }))
      const calls = message.toolCalls.map((call) => [call.id, call.name, call.arguments])
      assert.deepEqual({ text: message.content, calls }, toResponsesOutcome(interactions[last]?.resp ?? ''))
      assert.equal(heard.text(), message.content)
      assert.deepEqual(ids, [JSON.parse(interactions[asked]?.resp ?? '').id])
    }
    assert.equal(server.requests.length, interactions.length)
  } finally {
    await server.close()
  }
})

test('no recorded line is left out', { skip }, () => {
  const lines = ['openai-recorded-toolconv.jsonl', 'openai-recorded-errors.jsonl'].flatMap(readRecordings)
  const background = lines.filter(({ method, req }) => method !== 'POST' || req?.background === true)
  const errors = lines.filter(({ status }) => status !== 200)
  assert.deepEqual([lines.length, background.length, errors.length], [343 + 5 + 31, 5, 31])
})

test('every recorded error becomes its named error', { skip }, async () => {
  const recordings = ['openai-recorded-errors.jsonl', 'openai-recorded-toolconv.jsonl']
    .flatMap(readRecordings)
    .filter(({ status }) => status !== 200)
  assert.equal(recordings.length, 31)
  for (const recording of recordings) {
    const isUnknownModel = JSON.parse(recording.resp).error.code === 'model_not_found'
    const code = isUnknownModel ? 'MODEL_NOT_FOUND' : 'MODEL_BAD_REQUEST'
    assert.deepEqual(await replay(recording), { code }, `${recording.src} ${recording.idx}`)
  }
})
