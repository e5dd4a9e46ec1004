/** Flows that only wait, on a store that takes no more: they hear of it, and go on when it has been opened again (P1, P9). */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type FlowContext, isPerdureError } from 'perdure'
import { z } from 'zod'
import { createHookedStore } from '../support/hooked-store.ts'

const waits: Readonly<Record<string, (flow: FlowContext) => Promise<unknown>>> = {
  sleep: ({ sleep }) => sleep(3_600_000),
  waitFor: async ({ waitFor }) => (await waitFor('go')).n,
  ask: ({ ask }) => ask('Go on?', z.number()),
  'all of them': ({ all, sleep, waitFor }) => all([() => sleep(3_600_000), () => waitFor('go')]),
}

describe('a flow that waits while the store breaks', () => {
  for (const [name, wait] of Object.entries(waits))
    test(`${name}: ends with the error of the store`, async () => {
      const store = await createHookedStore()
      let isBroken = false
      const runtime = store.open([], {
        write() {
          if (isBroken) throw new Error('the disk is gone')
        },
      })
      const begun = Promise.withResolvers<void>()
      runtime.subscribe(({ type }) => void (type === 'checkpoint.started' && begun.resolve()))
      const flow = runtime.flow('waiting', (_: undefined, context) => wait(context))
      const result = flow.run(undefined, { id: 'waiting' }).catch((error: unknown) => error)
      await begun.promise
      isBroken = true
      const other = runtime.flow('other', (_: undefined, { step }) => step('one', () => 1))
      await assert.rejects(other.run(undefined, { id: 'other' }), /the disk is gone/)
      const error = await result
      assert.ok(isPerdureError(error, 'STORE_WRITE_FAILED'), String(error))
      await runtime.close()

      const again = store.open([])
      const reasons: unknown[] = []
      again.subscribe((event) => void (event.type === 'checkpoint.started' && reasons.push(event.reason)))
      const next = again.flow('waiting', (_: undefined, context) => wait(context))
      const resumed = next.run(undefined, { id: 'waiting' }).catch(() => {})
      while (reasons.length === 0) await new Promise(setImmediate)
      assert.equal(reasons[0], 'resumed')
      await again.close()
      await resumed
    })
})
