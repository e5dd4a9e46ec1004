/** A runtime on a store that its user opened: the same runtime, and the runtime owns the store from then on. */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { isPerdureError, openLevelStore, openMemoryStore, openRuntime } from 'perdure'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

describe('a runtime on a given store', () => {
  test('runs flows, and closes the store', async () => {
    const store = await openMemoryStore()
    const runtime = await openRuntime({ store, log: 'silent' })
    const flow = runtime.flow('double', async (n: number, { step }) => (await step('twice', () => n)) * 2)
    assert.equal(await flow.run(21, { id: 'one' }), 42)
    assert.equal(runtime.directory, 'memory')
    await runtime.close()
    await assert.rejects(store.get('x'), (error) => isPerdureError(error, 'STORE_CLOSED'))
  })

  test('finds in a folder what a runtime of the folder left there', async () => {
    const directory = room.path('store')
    let executed = 0
    const live = async (runtime: Awaited<ReturnType<typeof openRuntime>>): Promise<number> => {
      const flow = runtime.flow('count', async (_: undefined, { step }) => step('once', () => ++executed))
      const output = await flow.run(undefined, { id: 'one' })
      await runtime.close()
      return output
    }
    assert.equal(await live(await openRuntime({ directory, log: 'silent' })), 1)
    assert.equal(await live(await openRuntime({ store: await openLevelStore(directory), log: 'silent' })), 1)
    assert.equal(executed, 1)
  })

  test('closes the store when the runtime is refused', async () => {
    const store = await openMemoryStore()
    // @ts-expect-error no machine
    await assert.rejects(openRuntime({ store, machines: ['nothing'], log: 'silent' }))
    await assert.rejects(store.get('x'), (error) => isPerdureError(error, 'STORE_CLOSED'))
  })
})
