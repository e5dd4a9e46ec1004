/** What a fork costs does not depend on how long its origin is (P6). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openMemoryStore, openRuntime, type Store } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { noteRounds, noteTool, testAgent } from '../support/runtime-room.ts'

const TEXT = 'x'.repeat(1_000)

/** A store whose reads and writes are counted. */
async function openCounted() {
  const memory = await openMemoryStore()
  const count = { records: 0, bytes: 0 }
  const store: Store = {
    location: 'memory',
    epoch: 1,
    async get(key) {
      count.records++
      return memory.get(key)
    },
    async getMany(keys) {
      count.records += keys.length
      return memory.getMany(keys)
    },
    async *entries(range) {
      for await (const entry of memory.entries(range)) {
        count.records++
        yield entry
      }
    },
    async write(operations, options) {
      for (const operation of operations) count.bytes += operation.type === 'put' ? operation.value.byteLength : 0
      await memory.write(operations, options)
    },
    compact: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  }
  return { store, count }
}

test('to fork 300 turns reads and writes as much as to fork 30', async () => {
  const costs: (readonly [records: number, bytes: number])[][] = []
  for (const turns of [30, 300]) {
    const { store, count } = await openCounted()
    const runtime = await openRuntime({ store, log: 'silent' })
    const agent = runtime.durable(testAgent(scriptedModel(noteRounds(1)), {}, [noteTool().note]))
    const session = agent.session('main')
    for (let turn = 1; turn <= turns; turn++) await session.run(`${turn} ${TEXT}`)
    const cost: (readonly [number, number])[] = []
    for (const at of [{ turn: 3 }, { turn: turns }, { turn: turns, call: 'm2' }, { after: turns }]) {
      const before = { ...count }
      const fork = await session.fork({ at, id: `fork-${cost.length}` })
      cost.push([count.records - before.records, count.bytes - before.bytes])
      assert.ok(fork)
    }
    // One that was forked early has a base of its own at once, and one that was forked late shares what it began with.
    const bytes = count.bytes
    for (const id of ['fork-0', 'fork-1']) await agent.session(id).resume()
    assert.ok(count.bytes - bytes < 50_000, `${count.bytes - bytes} bytes`)
    costs.push(cost)
    await runtime.close()
  }
  const [few = [], many = []] = costs
  for (const [index, [records, bytes]] of many.entries()) {
    const [fewRecords = 0, fewBytes = 0] = few[index] ?? []
    assert.equal(records, fewRecords)
    assert.ok(Math.abs(bytes - fewBytes) < 40 && bytes < 5_000, `${bytes} instead of ${fewBytes} bytes`)
  }
})
