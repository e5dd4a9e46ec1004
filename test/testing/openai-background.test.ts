import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import OpenAI from 'openai'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'
import { openaiServer, readLedger } from 'perdure/testing'

const clientOf = ({ url }: { url: string }) => new OpenAI({ baseURL: url, apiKey: 'sk-test', maxRetries: 0 })
const asked = { model: 'gpt-5-mini', input: 'Weather?', background: true } as const

const collect = async (stream: AsyncIterable<ResponseStreamEvent>) => {
  const events: ResponseStreamEvent[] = []
  for await (const event of stream) events.push(event)
  return events
}

describe('openaiServer, Responses in the background', () => {
  it('is queued, in progress and completed, and can be looked at all the while', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const reached = Promise.withResolvers<void>()
    const sleep = () => {
      reached.resolve()
      return gates[1]?.promise ?? Promise.resolve()
    }
    await using server = await openaiServer({
      script: [{ text: 'It is sunny.', until: gates[0]?.promise ?? Promise.resolve() }],
      chunkDelayMs: 1,
      sleep,
    })
    const client = clientOf(server)
    const { id, status, background } = await client.responses.create(asked)
    assert.deepEqual([status, background], ['queued', true])
    assert.equal((await client.responses.retrieve(id)).status, 'queued')
    gates[0]?.resolve()
    await reached.promise
    assert.equal((await client.responses.retrieve(id)).status, 'in_progress')
    gates[1]?.resolve()
    while ((await client.responses.retrieve(id)).status === 'in_progress');
    const response = await client.responses.retrieve(id)
    assert.equal(response.status, 'completed')
    assert.equal(response.output_text, 'It is sunny.')
    assert.equal(response.usage?.output_tokens, 3)
    assert.equal(server.requests.length, 1)
    assert.ok(server.fetches.length >= 4)
  })

  it('streams from any event on, also when it is complete', async () => {
    await using server = await openaiServer({ script: [{ text: 'Let me look.', toolCalls: [{ name: 'weather' }] }] })
    const client = clientOf(server)
    const tools = [{ type: 'function' as const, name: 'weather', parameters: { type: 'object' }, strict: false }]
    const events = await collect(await client.responses.create({ ...asked, tools, stream: true }))
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, at) => at),
    )
    assert.deepEqual(
      events.slice(0, 3).map((event) => event.type),
      ['response.created', 'response.queued', 'response.in_progress'],
    )
    const id = events[0]?.type === 'response.created' ? events[0].response.id : ''
    assert.deepEqual(await collect(await client.responses.retrieve(id, { stream: true })), events)
    for (let at = 0; at < events.length - 1; at += 1) {
      const rest = await collect(await client.responses.retrieve(id, { stream: true, starting_after: at }))
      assert.deepEqual(rest, events.slice(at + 1))
    }
    assert.equal(server.requests.length, 1)
  })

  it('is made to its end for a client that has gone', async () => {
    const gate = Promise.withResolvers<void>()
    await using server = await openaiServer({ script: [{ text: 'It is sunny.', until: gate.promise }] })
    const client = clientOf(server)
    let id = ''
    for await (const event of await client.responses.create({ ...asked, stream: true })) {
      if (event.type === 'response.created') id = event.response.id
      break
    }
    gate.resolve()
    const events = await collect(await client.responses.retrieve(id, { stream: true, starting_after: 1 }))
    assert.equal(events.at(-1)?.type, 'response.completed')
    assert.equal(server.requests[0]?.background?.status, 'completed')
  })

  it('ends where it is when it is cancelled, for everybody who listens; cancelled once more it stays so', async () => {
    await using server = await openaiServer({ script: [{ text: 'Never.', until: new Promise(() => {}) }] })
    const client = clientOf(server)
    const stream = await client.responses.create({ ...asked, stream: true })
    const iterator = stream[Symbol.asyncIterator]()
    const first = await iterator.next()
    const id = first.value?.type === 'response.created' ? first.value.response.id : ''
    assert.equal((await client.responses.cancel(id)).status, 'cancelled')
    let last = await iterator.next()
    while (!last.done) last = await iterator.next()
    assert.equal((await client.responses.cancel(id)).status, 'cancelled')
    assert.equal((await client.responses.retrieve(id)).status, 'cancelled')
  })

  it('fails in the middle at the fault stream-error', async () => {
    await using server = await openaiServer({ script: [{ text: 'one two three four', fault: 'stream-error' }] })
    const client = clientOf(server)
    const events = await collect(await client.responses.create({ ...asked, stream: true }))
    const last = events.at(-1)
    assert.equal(last?.type, 'response.failed')
    assert.equal(last.response.error?.code, 'server_error')
    assert.equal((await client.responses.retrieve(last.response.id)).status, 'failed')
  })

  it('keeps the answers of the same conversation apart', async () => {
    await using server = await openaiServer({ script: ['one', 'two'] })
    const client = clientOf(server)
    const first = await client.responses.create(asked)
    const second = await client.responses.create(asked)
    assert.notEqual(first.id, second.id)
    assert.equal(server.requests[0]?.key, server.requests[1]?.key)
  })

  it('refuses what it does not have: an unknown id, a stream that was not asked for, another method', async () => {
    await using server = await openaiServer({ script: ['one', 'two'] })
    const client = clientOf(server)
    await assert.rejects(client.responses.retrieve('resp_x'), { status: 404, message: /Response with id 'resp_x' not found/ })
    await assert.rejects(client.responses.cancel('resp_x'), { status: 404 })
    const inForeground = await client.responses.create({ ...asked, background: false })
    await assert.rejects(client.responses.retrieve(inForeground.id), { status: 404 })
    const { id } = await client.responses.create(asked)
    await assert.rejects(client.responses.retrieve(id, { stream: true }), { status: 400 })
    await assert.rejects(client.responses.delete(id), { status: 405 })
    assert.equal((await fetch(`${server.url}/responses/${id}?stream=true&starting_after=x`)).status, 400)
    assert.deepEqual(
      server.rejections.map(({ status }) => status),
      [404, 404, 404, 405, 400],
    )
  })

  it('counts in the ledger file what was asked for apart from what was fetched', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'perdure-ledger-'))
    try {
      const ledgerFile = join(folder, 'ledger.jsonl')
      await using server = await openaiServer({ script: ['one'], ledgerFile })
      const client = clientOf(server)
      const [created] = await collect(await client.responses.create({ ...asked, stream: true }))
      const id = created?.type === 'response.created' ? created.response.id : ''
      await client.responses.retrieve(id)
      await client.responses.cancel(id)
      const lines = readLedger(ledgerFile)
      assert.deepEqual(lines.map(({ type }) => type).sort(), [
        'answer.sent',
        'request.received',
        'response.cancelled',
        'response.ended',
        'response.fetched',
      ])
      assert.ok(lines.every(({ number, key }) => number === 1 && key === server.requests[0]?.key))
      assert.equal(server.requests[0]?.background?.status, 'completed', 'What is complete cannot be cancelled')
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})
