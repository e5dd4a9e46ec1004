import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { toBackoffMs, toRetryAfterMs } from '../../../src/actors/openai/backoff.ts'
import { assertNoSecret, expectError, keyCanary, startRig, toContext } from '../../support/model-call.ts'
import { toJsonAnswer, toSse } from '../../support/wire-server.ts'

const done = { body: toSse({ choices: [{ index: 0, delta: { content: 'Done' }, finish_reason: 'stop' }] }) }
const busy = (headers: Readonly<Record<string, string>> = {}) =>
  toJsonAnswer({ error: { message: `Busy, ${keyCanary}` } }, 503, headers)

test('waits double from half a second to eight, and jitter spreads each from zero', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5, 6, 60].map((retry) => toBackoffMs(retry, () => 1)),
    [500, 1000, 2000, 4000, 8000, 8000, 8000],
  )
  assert.equal(
    toBackoffMs(3, () => 0.25),
    500,
  )
  assert.equal(
    toBackoffMs(9, () => 0),
    0,
  )
})

test('a wait that the server asks for is read as milliseconds, seconds or a date', () => {
  const now = () => Date.parse('2030-01-01T00:00:00Z')
  const read = (headers: Record<string, string>) => toRetryAfterMs(new Headers(headers), now)
  assert.equal(read({ 'retry-after-ms': '120', 'retry-after': '9' }), 120)
  assert.equal(read({ 'retry-after': '1.5' }), 1500)
  assert.equal(read({ 'retry-after': 'Tue, 01 Jan 2030 00:00:07 GMT' }), 7000)
  assert.equal(read({ 'retry-after': 'Mon, 31 Dec 2029 00:00:00 GMT' }), 0)
  assert.equal(read({ 'retry-after': '-5' }), undefined)
  assert.equal(read({ 'retry-after': 'soon' }), undefined)
  assert.equal(read({}), undefined)
})

test('each retry is told before its wait, with an error that shows no key', async (t) => {
  const rig = await startRig(t, [busy(), busy({ 'retry-after-ms': '77' }), busy({ 'retry-after': '3' }), done])
  assert.equal((await rig.ask()).message.content, 'Done')
  assert.deepEqual(rig.sleeps, [500, 77, 3000])
  assert.deepEqual(
    rig.retries.map(({ attempt, delayMs }) => [attempt, delayMs]),
    [
      [1, 500],
      [2, 77],
      [3, 3000],
    ],
  )
  assertNoSecret(rig.retries)
})

test('five retries are made unless told otherwise, then the last error is thrown', async (t) => {
  const rig = await startRig(t, [busy()])
  const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.deepEqual(rig.sleeps, [500, 1000, 2000, 4000, 8000])
  assert.equal(error.details.attempts, 6)
})

test('a wait of more than ten minutes is not sat out', async (t) => {
  const rig = await startRig(t, [busy({ 'retry-after': '86400' })])
  const error = await expectError(rig.ask(), 'MODEL_UNAVAILABLE')
  assert.equal(error.details.retryAfterMs, 86_400_000)
  assert.deepEqual(rig.sleeps, [])
})

test('a call that is aborted before it starts sends nothing', async (t) => {
  const rig = await startRig(t, [done])
  rig.abort.abort(new Error(`stopped with ${keyCanary}`))
  await expectError(rig.ask(), 'ABORTED')
  assert.equal(rig.server.requests.length, 0)
})

test('an abort before the answer begins ends the call', async (t) => {
  const rig = await startRig(t, [done], {
    fetch: (_url, init) =>
      new Promise((_, reject) => {
        init?.signal?.addEventListener('abort', () => reject(init.signal?.reason))
        rig.abort.abort()
      }),
  })
  await expectError(rig.ask(), 'ABORTED')
})

test('an abort in the middle of an answer ends the call, though the server goes on', async (t) => {
  const rig = await startRig(t, [{ body: toSse({ choices: [{ delta: { content: 'Ha' } }] }), ending: 'hold' }])
  const request = { model: 'm', systemPrompt: '', settings: {}, tools: [], messages: [] }
  const call = rig.model(request, toContext({ signal: rig.abort.signal, onText: () => rig.abort.abort() }))
  await expectError(call, 'ABORTED')
})

test('an abort during a wait ends the call at once', async (t) => {
  const rig = await startRig(t, [busy()], {
    sleep: (_delayMs, signal) => {
      queueMicrotask(() => rig.abort.abort())
      return delay(3_600_000, undefined, { signal })
    },
  })
  await expectError(rig.ask(), 'ABORTED')
  assert.equal(rig.server.requests.length, 1)
})

test('the default wait ends with the signal too', async (t) => {
  const rig = await startRig(t, [busy({ 'retry-after': '500' })], { sleep: undefined })
  const request = { model: 'm', systemPrompt: '', settings: {}, tools: [], messages: [] }
  const onRetry = () => queueMicrotask(() => rig.abort.abort())
  await expectError(rig.model(request, toContext({ signal: rig.abort.signal, onRetry })), 'ABORTED')
})
