import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PerdureError } from '../../src/errors.ts'
import { toJsonLine } from '../../src/observe/json-line.ts'
import { createReporter } from '../../src/observe/reporter.ts'
import { createMemoryStream, event, runId } from '../support/log-scene.ts'

const secret = 'sk-canary-4f1c'

test('each event is one line of JSON that begins with time, type and run', () => {
  const stream = createMemoryStream()
  const report = createReporter({ format: 'json', stream })
  const events = Object.entries(event).filter(([name]) => name !== 'text')
  for (const [, make] of events) report(make())
  const lines = stream.text.trimEnd().split('\n')
  assert.equal(lines.length, events.length)
  for (const [index, line] of lines.entries()) {
    const parsed: Record<string, unknown> = JSON.parse(line)
    assert.deepEqual(Object.keys(parsed).slice(0, 3), ['time', 'type', 'runId'])
    assert.equal(parsed.type, events[index]?.[1]().type)
  }
  const started = { time: 1_000_000, type: 'run.started', runId, runCreatedAt: 1_000_000, name: 'research', attempt: 1 }
  assert.deepEqual(JSON.parse(lines[0] ?? ''), started)
})

test('the text of the model is left out unless it is asked for', () => {
  const quiet = createMemoryStream()
  createReporter({ format: 'json', stream: quiet })(event.text())
  assert.equal(quiet.text, '')
  const chatty = createMemoryStream()
  createReporter({ format: 'json', stream: chatty, text: true })(event.text({ delta: 'a\nb' }))
  assert.equal(JSON.parse(chatty.text).delta, 'a\nb')
})

test('an error is its name, code and message: nothing that hangs on it is printed', () => {
  const cause = Object.assign(new Error(secret), { headers: { authorization: secret } })
  const error = new PerdureError('MODEL_UNAUTHORIZED', 'The key was refused.', { cause, details: { key: secret } })
  const foreign = Object.assign(new TypeError('bad', { cause }), { request: { key: secret } })
  for (const line of [
    toJsonLine(event.failed({ error })),
    toJsonLine(event.runFailed({ error: foreign })),
    toJsonLine(event.runFailed({ error: { key: secret } })),
  ])
    assert.ok(!line.includes(secret), line)
  assert.deepEqual(JSON.parse(toJsonLine(event.failed({ error }))).error, {
    name: 'PerdureError',
    code: 'MODEL_UNAUTHORIZED',
    message: 'The key was refused.',
  })
  assert.deepEqual(JSON.parse(toJsonLine(event.runFailed({ error: foreign }))).error, { name: 'TypeError', message: 'bad' })
})

test('an error that cannot be read is still a line', () => {
  const hostile = {
    get message(): string {
      throw new Error(secret)
    },
  }
  assert.equal(JSON.parse(toJsonLine(event.runFailed({ error: hostile }))).error.message, 'A thrown object')
  assert.equal(JSON.parse(toJsonLine(event.runFailed({ error: 'text' }))).error.message, 'text')
})
