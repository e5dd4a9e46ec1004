import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { testClock } from 'perdure/testing'
import { setup } from 'xstate'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'

let room: MachineRoom
before(async () => {
  room = await createMachineRoom()
})
after(() => room.remove())

const START = Date.UTC(2026, 0, 1)

test('ended runs are removed by policy: the oldest first, never a live one', async () => {
  const directory = room.directory()
  const clock = testClock({ now: START })
  const machine = setup({}).createMachine({
    id: 'short',
    initial: 'a',
    states: { a: { on: { end: 'b' } }, b: { type: 'final' } },
  })
  const runtime = await room.open(directory, [machine], { clock, retention: { maxRuns: 2 } })
  for (const id of ['r1', 'r2', 'r3', 'r4', 'live']) {
    const run = await runtime.start(machine, { id })
    await clock.advance(1_000)
    if (id !== 'live') await run.send({ type: 'end' })
  }
  const list = async (): Promise<string[]> => {
    const ids: string[] = []
    for await (const { id } of runtime.runs()) ids.push(id)
    return ids
  }
  const removed = (): string[] => runtime.events.filter(({ type }) => type === 'run.removed').map(({ runId }) => runId)
  while (removed().length < 2) await clock.advance(1_000) // the disk takes real time
  assert.deepEqual(removed(), ['r1', 'r2'])
  assert.deepEqual(await list(), ['live', 'r3', 'r4'])
  await runtime.close()
})

test('flows are ended runs too; what is no policy is refused', async () => {
  const directory = room.directory()
  const clock = testClock({ now: START })
  await assert.rejects(room.open(directory, [], { retention: { maxRuns: -1 } }), TypeError)
  await assert.rejects(room.open(directory, [], { retention: { maxDays: 1 } as never }), TypeError)
  const runtime = await room.open(directory, [], { clock, retention: { maxAgeMs: 3_600_000 } })
  const flow = runtime.flow('double', async (n: number, { step }) => step('double', () => n * 2))
  await flow.run(21, { id: 'old' })
  await clock.advance(3_000_000)
  await flow.run(21, { id: 'young' })
  const list = async (): Promise<string[]> => {
    const ids: string[] = []
    for await (const { id } of runtime.runs()) ids.push(id)
    return ids
  }
  await clock.advance(660_000)
  // The disk takes real time; the young one would come of age 2,900 seconds later.
  for (let passed = 0; passed < 2_900_000 && (await list()).length > 1; passed += 100) await clock.advance(100)
  assert.deepEqual(await list(), ['young'])
  await runtime.close()
})
