/** Machines that nobody has written, and events that nobody has thought of: each run comes to the same when it is replayed. P5 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isPerdureError, openMemoryStore, openRuntime } from 'perdure'
import { testClock } from 'perdure/testing'
import { readRecording } from '../../src/replay/recording.ts'
import { replayRun } from '../../src/replay/replay-run.ts'
import { event, randomMachine, toMachine } from '../support/machine-app-random.ts'

/** An event from outside, or milliseconds that pass. */
const move = fc.oneof({ weight: 2, arbitrary: event }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 60 }) })

test('random events to a random machine, with time between them, come to the same in a replay', async () => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(randomMachine, fc.array(move, { minLength: 1, maxLength: 12 }), async (description, moves) => {
      const machine = toMachine(description)
      const store = await openMemoryStore()
      const clock = testClock()
      await using runtime = await openRuntime({ store, machines: [machine], clock, log: 'silent', durability: 'process' })
      const run = await runtime.start(machine, { id: 'x' })
      for (const one of moves) {
        if (typeof one === 'number') await clock.advance(one)
        else
          await run.send({ type: one }).catch((error: unknown) => {
            if (!isPerdureError(error, 'RUN_ENDED')) throw error
          })
      }
      const recording = await readRecording(store, 'x')
      taken += recording.machine?.taken?.length ?? 0
      const { divergences } = await replayRun(recording, { machines: [machine] })
      assert.deepEqual(divergences, [])
    }),
    { numRuns: 60 },
  )
  assert.ok(taken > 300, `${taken} events were taken`)
})
