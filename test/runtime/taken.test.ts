/** What a machine's run took from outside is recorded with it: in the commit of what it led to (P5), for nobody who asks for steps, and with all that is done to a run. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fromStep } from 'perdure'
import { connect } from 'perdure/client'
import { type AnyStateMachine, setup } from 'xstate'
import type { Operation } from '../../src/persistence/store.ts'
import { createHookedStore } from '../support/hooked-store.ts'
import { createMachineRoom, type MachineRoom } from '../support/machine-room.ts'
import { toArray } from '../support/managed-store.ts'

const door = setup({ actors: { oil: fromStep(() => 'oiled') } }).createMachine({
  id: 'door',
  initial: 'closed',
  states: {
    closed: { on: { open: 'open' } },
    open: { invoke: { src: 'oil' }, on: { close: 'closed' } },
  },
})

describe('what a run took', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  test('is written in the batch of what it led to, or with the next that there is; many without one are a batch', async () => {
    const batches: (readonly Operation[])[] = []
    const hooked = await createHookedStore()
    const runtime = hooked.open([door], { write: (operations) => void batches.push(operations) })
    const run = await runtime.start(door, { id: 'x' })
    const toTaken = (): (readonly string[])[] =>
      batches.splice(0).map((operations) => operations.map(({ key }) => key.slice('r/x/s/'.length)).filter(isTakenStep))
    const isTakenStep = (step: string): boolean => step.startsWith('machine/taken/')
    assert.deepEqual(toTaken().flat(), ['machine/taken/000000000'])
    await run.send({ type: 'close' })
    await run.send({ type: 'close' })
    assert.deepEqual(toTaken(), [])
    await run.send({ type: 'open' })
    assert.deepEqual(toTaken()[0], ['machine/taken/000000001', 'machine/taken/000000002', 'machine/taken/000000003'])
    await run.send({ type: 'close' })
    batches.splice(0)
    for (let sent = 0; sent < 130; sent++) await run.send({ type: 'close' })
    assert.deepEqual(
      toTaken().map((taken) => taken.length),
      [64, 64],
    )
    await runtime.close()
  })

  test('is none of its steps, goes with it when it is deleted, and is sound', async () => {
    const directory = room.directory()
    const runtime = await room.open(directory, [door])
    const run = await runtime.start(door, { id: 'x' })
    await run.send({ type: 'open' })
    const steps = (await toArray(run.steps())).map(({ kind }) => kind)
    assert.deepEqual(steps, ['step'])
    await using store = await connect(directory)
    const { steps: shown } = await store.run('x')
    assert.deepEqual(
      shown.map(({ kind }) => kind),
      ['step'],
    )
    assert.deepEqual(await toArray(store.verify()), [])
    assert.equal(await runtime.delete('x'), true)
    assert.deepEqual(await toArray(store.verify()), [])
    assert.equal(await runtime.delete('x'), false)
    await runtime.close()
  })

  test('is encrypted in an encrypted store', async () => {
    const canary = 'The canary sings at night.'
    for (const encryption of [undefined, { key: Buffer.alloc(32, 7) }]) {
      const directory = room.directory()
      const runtime = await room.open(directory, [door], { encryption })
      const run = await runtime.start<AnyStateMachine>(door, { id: 'x' })
      await run.send({ type: 'open', note: canary })
      await runtime.close()
      const files = await readdir(directory, { recursive: true, withFileTypes: true })
      const contents = files.filter((file) => file.isFile()).map(({ parentPath, name }) => readFileSync(join(parentPath, name)))
      assert.equal(Buffer.concat(contents).includes(canary), encryption === undefined)
    }
  })
})
