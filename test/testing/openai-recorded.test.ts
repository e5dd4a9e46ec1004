import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { openaiServer } from 'perdure/testing'

/** One HTTP interaction with OpenAI, as recorded. */
interface Recording {
  readonly src: string
  readonly idx: number
  readonly path: string
  readonly status: number
  readonly req: Body
  readonly resp: string | object
}

interface Body {
  readonly stream?: boolean
  readonly tools?: readonly { readonly type: string }[]
  readonly input?: string | readonly { readonly type?: string }[]
  readonly previous_response_id?: string
  readonly conversation?: string
  readonly messages?: readonly unknown[]
}

const data = new URL('../../../shared/data/', import.meta.url)
const skip = existsSync(data) ? false : 'the recorded traffic (../shared/data) is not on this machine'

const readRecordings = (file: string): Recording[] =>
  readFileSync(new URL(file, data), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Recording) // the README beside the file says what a line is

const itemTypes: readonly unknown[] = [undefined, 'message', 'function_call', 'function_call_output', 'reasoning']

/** Leaves out what the server does not have: OpenAI's own tools and what OpenAI stores. */
const isServed = ({ path, req }: Recording): boolean =>
  (path === '/v1/chat/completions' || path === '/v1/responses') &&
  (req.tools ?? []).every((tool) => tool.type === 'function') &&
  (typeof req.input === 'string' || (req.input ?? []).every((item) => itemTypes.includes(item.type))) &&
  (req.previous_response_id ?? req.conversation ?? null) === null

const post = async (url: string, { path, req }: Recording) => {
  const response = await fetch(new URL(path, url), { method: 'POST', body: JSON.stringify(req) })
  return { status: response.status, text: await response.text() }
}

/** The events of a stream: of any shape, their places are compared. */
const toEvents = (text: string): Record<string, unknown>[] =>
  [...text.matchAll(/^data: (\{.*)$/gm)].map((match) => JSON.parse(match[1] ?? '') as Record<string, unknown>)

/** The places that hold something, as paths: `choices.0.delta.content`. Numbers of items do not count. */
const toPaths = (value: unknown, path = ''): string[] => {
  if (typeof value !== 'object' || value === null) return [path]
  const entries = Array.isArray(value) ? value.map((item): [string, unknown] => ['*', item]) : Object.entries(value)
  return entries.flatMap(([key, item]) => toPaths(item, `${path}.${key}`))
}

describe('openaiServer beside recorded traffic', { skip }, () => {
  it('understands every request that OpenAI answered', async () => {
    await using server = await openaiServer({ script: () => 'Yes.' })
    const recordings = readRecordings('openai-recorded-toolconv.jsonl').filter(({ status }) => status === 200)
    const served = recordings.filter(isServed)
    assert.ok(served.length > 200, `${served.length} of ${recordings.length}`)
    for (const recording of served) {
      const { status, text } = await post(server.url, recording)
      assert.equal(status, 200, `${recording.src} ${recording.idx}: ${text}`)
    }
  })

  it('refuses what OpenAI refused for the conversation alone, in the same words', async () => {
    await using server = await openaiServer({
      script: () => 'Yes.',
      models: ['gpt-5', 'gpt-5-mini', 'gpt-4o', 'o3', 'o4-mini', 'gpt-4o-mini'],
    })
    const words = /^Item 'rs_|^Invalid 'temperature'|does not exist/
    const recordings = readRecordings('openai-recorded-errors.jsonl').flatMap((recording) => {
      const body = typeof recording.resp === 'string' ? JSON.parse(recording.resp) : recording.resp
      return words.test(body.error.message) ? [{ recording, error: body.error }] : []
    })
    assert.ok(recordings.length >= 5)
    for (const { recording, error } of recordings) {
      const { status, text } = await post(server.url, recording)
      assert.equal(status, recording.status)
      assert.deepEqual(JSON.parse(text).error, error)
    }
  })

  it('puts nothing into an answer that OpenAI does not put there', async () => {
    const toolCalls = [{ name: 'f', arguments: { city: 'Paris' } }, { name: 'g' }]
    await using server = await openaiServer({ script: () => ({ text: 'Let me look.', toolCalls }) })
    const known = new Set<string>()
    const ours = new Map<string, string>()
    const collect = (path: string, text: string, add: (place: string) => void): void => {
      const events = text.includes('data: ') ? toEvents(text) : [JSON.parse(text)]
      for (const event of events) {
        const { tools: _, text: __, ...response } = event.response ?? event
        const plain = event.response === undefined ? response : { ...event, response }
        for (const place of toPaths(plain)) add(`${path} ${event.type ?? event.object} ${place}`)
      }
    }
    for (const recording of readRecordings('openai-recorded-toolconv.jsonl').filter(({ status }) => status === 200)) {
      const { path, resp } = recording
      collect(path, typeof resp === 'string' ? resp : JSON.stringify(resp), (place) => known.add(place))
      if (!isServed(recording)) continue
      const { text } = await post(server.url, recording)
      collect(path, text, (place) => ours.set(place, recording.src))
    }
    const places = [...ours.keys()].filter((place) => !known.has(place))
    assert.deepEqual(places, [])
  })
})
