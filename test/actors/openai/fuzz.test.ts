/** Whatever a server sends is an answer in its right form, or an error by name: at once, with nothing left behind, and with no number that is none. `PERDURE_FUZZ=20000` for longer. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { isPerdureError } from '../../../src/errors.ts'
import type { ModelAnswer } from '../../../src/machines/conversation.ts'
import { assertNoSecret, createRig, keyCanary } from '../../support/model-call.ts'

const numRuns = Number(process.env.PERDURE_FUZZ ?? 400)

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

const item = (index: number) => ({
  id: `fc_${index}`,
  type: 'function_call',
  call_id: `call_${index}`,
  name: 'weather',
  arguments: '{"city":"Oslo"}',
  status: 'completed',
})
const spoken = {
  id: 'msg_1',
  type: 'message',
  role: 'assistant',
  status: 'completed',
  content: [{ type: 'output_text', text: 'Hello', annotations: [] }],
}
const reasoning = { id: 'rs_1', type: 'reasoning', summary: [], encrypted_content: 'gAAA', status: null }
const response = (status: string, output: Json[]): Json => ({
  id: 'resp_1',
  object: 'response',
  model: 'gpt-5-mini',
  status,
  error: null,
  output,
  usage: {
    input_tokens: 1000,
    output_tokens: 200,
    input_tokens_details: { cached_tokens: 400 },
    output_tokens_details: { reasoning_tokens: 50 },
  },
})
const chunk = (delta: Json, finish: string | null = null): Json => ({
  id: 'chatcmpl-1',
  object: 'chat.completion.chunk',
  model: 'gpt-4o-mini',
  choices: [{ index: 0, delta, finish_reason: finish }],
})
const toolPiece = (index: number, more: { [name: string]: Json }): Json =>
  chunk({ tool_calls: [{ index, type: 'function', ...more }] })

/** What a server sends when nothing is wrong: events, or one body. */
const dialogues: Readonly<
  Record<string, { readonly api: 'responses' | 'chat'; readonly events: Json[]; readonly isStream: boolean }>
> = {
  'Responses events': {
    api: 'responses',
    isStream: true,
    events: [
      { type: 'response.created', response: response('in_progress', []) },
      { type: 'response.output_item.added', output_index: 0, item: { ...item(0), arguments: '' } },
      { type: 'response.function_call_arguments.delta', output_index: 0, delta: '{"city":"Oslo"}' },
      { type: 'response.output_text.delta', output_index: 1, delta: 'Hello' },
      { type: 'response.output_item.done', output_index: 1, item: spoken },
      { type: 'response.completed', response: response('completed', [reasoning, item(0), item(1), spoken]) },
    ],
  },
  'a Responses body': { api: 'responses', isStream: false, events: [response('completed', [reasoning, item(0), spoken])] },
  'Chat Completions events': {
    api: 'chat',
    isStream: true,
    events: [
      chunk({ role: 'assistant', content: 'Hel' }),
      chunk({ content: 'lo' }),
      toolPiece(0, { id: 'call_0', function: { name: 'weather', arguments: '{"city":' } }),
      toolPiece(1, { id: 'call_1', function: { name: 'time', arguments: '{}' } }),
      toolPiece(0, { function: { arguments: '"Oslo"}' } }),
      chunk({}, 'tool_calls'),
      {
        id: 'chatcmpl-1',
        model: 'gpt-4o-mini',
        choices: [],
        usage: { prompt_tokens: 10, completion_tokens: 5, prompt_tokens_details: { cached_tokens: 2 } },
      },
    ],
  },
  'a Chat Completions body': {
    api: 'chat',
    isStream: false,
    events: [
      {
        id: 'chatcmpl-1',
        model: 'gpt-4o-mini',
        choices: [
          {
            index: 0,
            finish_reason: 'tool_calls',
            message: {
              role: 'assistant',
              content: 'Hello',
              tool_calls: [{ id: 'call_0', type: 'function', function: { name: 'weather', arguments: '{}' } }],
            },
          },
        ],
        usage: { prompt_tokens: 10, completion_tokens: 5 },
      },
    ],
  },
}

const deep = (): Json => {
  let value: Json = 1
  for (let depth = 0; depth < 2_000; depth++) value = [value]
  return value
}
/** By names, which a counterexample can say. */
const oversized = new Map<Json, () => Json>([
  ['(long)', () => 'x'.repeat(100_000)],
  ['(deep)', deep],
  ['(prototype)', () => JSON.parse('{"__proto__":{"polluted":true},"constructor":1}') as Json], // made here
])
const junk: fc.Arbitrary<Json> = fc.oneof(
  fc.constantFrom<Json>(
    null,
    true,
    false,
    0,
    -1,
    -0.5,
    1e308,
    2 ** 53,
    '',
    ' ',
    '{',
    '__proto__',
    'call_0',
    '\u0000\ud800',
    [],
    {},
  ),
  fc.constantFrom(...oversized.keys()),
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<Json>,
  fc.constantFrom<Json>(
    'completed',
    'incomplete',
    'failed',
    'in_progress',
    'cancelled',
    'function_call',
    'message',
    'refusal',
    'length',
  ),
)
const mutation = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), at: fc.nat(), value: junk }),
  fc.record({ kind: fc.constantFrom('delete' as const, 'drop' as const, 'repeat' as const, 'swap' as const), at: fc.nat() }),
  fc.record({ kind: fc.constant('insert' as const), at: fc.nat(), value: junk }),
)
const damage = fc.oneof(
  fc.constant(undefined),
  fc.record({ kind: fc.constantFrom('cut' as const, 'flip' as const, 'crlf' as const, 'noise' as const), at: fc.nat() }),
)

/** All places in a value: whom they belong to, and their name there. */
function* placesOf(value: Json): Iterable<readonly [owner: { [name: string]: Json }, name: string]> {
  if (typeof value !== 'object' || value === null) return
  const owner = value as { [name: string]: Json } // an array's items by their number
  for (const name of Object.keys(value)) {
    yield [owner, name]
    yield* placesOf(owner[name] ?? null)
  }
}

function mutate(events: Json[], change: Readonly<{ kind: string; at: number; value?: Json }>): Json[] {
  const { kind, at } = change
  const given = change.value ?? null
  const value = oversized.get(given)?.() ?? structuredClone(given)
  const index = events.length === 0 ? 0 : at % events.length
  if (kind === 'drop') return events.toSpliced(index, 1)
  if (kind === 'repeat') return events.toSpliced(index, 0, structuredClone(events[index] ?? null))
  if (kind === 'swap') return [...events.slice(index), ...events.slice(0, index)]
  if (kind === 'insert') return events.toSpliced(index, 0, value)
  const places = [...placesOf(events)]
  const [owner, name] = places[at % Math.max(1, places.length)] ?? []
  if (owner === undefined || name === undefined) return events
  if (kind === 'delete') delete owner[name]
  else owner[name] = value
  return events
}

function toBody(events: readonly Json[], isStream: boolean): string {
  if (!isStream) return JSON.stringify(events[0] ?? null)
  const lines = events.map((event) => {
    const type = typeof event === 'object' && event !== null && !Array.isArray(event) ? event.type : undefined
    return `${typeof type === 'string' && type.length < 100 ? `event: ${type.replaceAll(/[\r\n]/g, ' ')}\n` : ''}data: ${JSON.stringify(event)}\n\n`
  })
  return `${lines.join('')}data: [DONE]\n\n`
}

function damageBytes(body: string, change: { readonly kind: string; readonly at: number } | undefined): Uint8Array<ArrayBuffer> {
  if (change?.kind === 'crlf') return new TextEncoder().encode(body.replaceAll('\n', '\r\n'))
  const bytes = new TextEncoder().encode(body)
  const at = bytes.length === 0 ? 0 : (change?.at ?? 0) % bytes.length
  if (change?.kind === 'cut') return bytes.slice(0, at)
  if (change?.kind === 'flip') bytes[at] = (bytes[at] ?? 0) ^ 0xff
  if (change?.kind === 'noise') bytes.fill(0x80 + (at % 0x7f), at, at + 5)
  return bytes
}

function assertAnswer({ message, usage, costUsd, model, responseId }: ModelAnswer): void {
  assert.ok(typeof message.content === 'string' || message.content === undefined || message.content === null)
  for (const { id, name, arguments: given } of message.toolCalls ?? []) {
    for (const text of [id, name, given]) assert.equal(typeof text, 'string')
    assert.ok(id !== '' && name !== '', 'a tool call has an id and a name')
  }
  const ids = (message.toolCalls ?? []).map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length, 'each tool call has an id of its own')
  for (const [name, count] of Object.entries(usage ?? {}))
    assert.ok(Number.isInteger(count) && count >= 0, `${name} is ${inspect(count)}`)
  assert.ok(costUsd === undefined || (Number.isFinite(costUsd) && costUsd >= 0), `it costs ${costUsd}`)
  assert.equal(typeof model, 'string')
  assert.ok(responseId === undefined || typeof responseId === 'string')
}

describe('an answer that is not what it should be', () => {
  for (const [what, { api, events, isStream }] of Object.entries(dialogues))
    it(`in ${what} is read as far as it can be, or refused by name`, { timeout: 300_000 }, async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(mutation, { maxLength: 3 }),
          damage,
          fc.integer({ min: 1, max: 5_000 }),
          async (changes, harm, size) => {
            let sent = structuredClone(events)
            for (const change of changes) sent = mutate(sent, change)
            const bytes = damageBytes(toBody(sent, isStream), harm)
            const rig = createRig('http://127.0.0.1:9/v1', {
              api,
              apiKey: keyCanary,
              maxRetries: 0,
              timeoutMs: 5_000,
              fetch: async () =>
                new Response(
                  new ReadableStream({
                    start(controller) {
                      const step = Math.max(size, Math.ceil(bytes.length / 200))
                      for (let at = 0; at < bytes.length; at += step) controller.enqueue(bytes.subarray(at, at + step))
                      controller.close()
                    },
                  }),
                  { headers: { 'content-type': isStream ? 'text/event-stream' : 'application/json' } },
                ),
            })
            const came = await rig.ask().catch((error: unknown) => ({ error }))
            assert.equal(Object.hasOwn(Object.prototype, 'polluted'), false)
            if (!('error' in came)) return assertAnswer(came)
            const { error } = came
            assert.ok(isPerdureError(error), inspect(error))
            assert.match(
              error.code,
              /^MODEL_(BAD_ANSWER|UNAVAILABLE|CUT_OFF|REFUSED|BAD_REQUEST|QUOTA|CONTEXT_TOO_LONG|NOT_FOUND|UNAUTHORIZED)$/,
            )
            assertNoSecret(error.message)
          },
        ),
        { numRuns, seed: 7 },
      )
    })
})
