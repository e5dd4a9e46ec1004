/** A model server that fails in every way: retried within the bound, or the run stops by a named error and is resumed later with nothing lost. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import type { PerdureErrorCode } from 'perdure'
import { type Fault, openaiServer, type ScriptedAnswer } from 'perdure/testing'
import { answerOf } from '../support/fault-expected.ts'
import { createFaultWorld, stopOf } from '../support/fault-world.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

const faults: readonly (readonly [what: string, fault: Fault, code: PerdureErrorCode])[] = [
  ['resets the connection', 'disconnect', 'MODEL_UNAVAILABLE'],
  ['hangs', 'hang', 'MODEL_UNAVAILABLE'],
  ['stops in the middle of its stream', 'stall', 'MODEL_UNAVAILABLE'],
  ['cuts its stream', 'cut', 'MODEL_UNAVAILABLE'],
  ['sends JSON that is none', 'malformed', 'MODEL_BAD_ANSWER'],
  ['fails within its stream', 'stream-error', 'MODEL_UNAVAILABLE'],
  ['answers nothing', 'empty', 'MODEL_BAD_ANSWER'],
  ['answers 500', { status: 500 }, 'MODEL_UNAVAILABLE'],
  ['answers 429 with Retry-After', { status: 429, headers: { 'retry-after': '1' } }, 'MODEL_UNAVAILABLE'],
]

/** A server that fails as long as `isFailing` says so. */
const serve = (fault: Fault, isFailing: (call: number) => boolean) =>
  openaiServer({ script: (request, call): ScriptedAnswer => ({ ...answerOf(request), ...(isFailing(call) ? { fault } : {}) }) })

describe('a model server that', () => {
  for (const [what, fault, code] of faults) {
    it(`${what} once is asked again`, async () => {
      await using server = await serve(fault, (call) => call === 2)
      const world = createFaultWorld({
        directory: room.path('store'),
        effects: room.path('effects'),
        url: server.url,
        retries: 2,
      })
      const startedAt = performance.now()
      world.assertEnd(await world.live())
      if (typeof fault === 'object' && fault.status === 429) assert.ok(performance.now() - startedAt >= 1_000, 'did not wait')
      assert.equal(server.requests.length, 7) // three turns of two, and one more
    })

    it(`${what} stops it by name; it goes on once the server does`, async () => {
      let isFailing = true
      await using server = await serve(fault, (call) => isFailing && call >= 2)
      const world = createFaultWorld({ directory: room.path('store'), effects: room.path('effects'), url: server.url })
      const life = await world.live()
      assert.equal(stopOf(life)?.code, code, stopOf(life)?.message)
      isFailing = false
      const before = server.requests.length
      await world.assertWhole()
      assert.equal(server.requests.length - before, 5, 'the first request had settled') // of six
    })
  }

  it('drips only takes longer', async () => {
    await using server = await openaiServer({ script: (request) => answerOf(request), chunkDelayMs: 60 })
    const world = createFaultWorld({ directory: room.path('store'), effects: room.path('effects'), url: server.url })
    world.assertEnd(await world.live())
    await world.assertWhole()
  })
})
