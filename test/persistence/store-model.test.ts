import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import type { KeyRange, Operation, Store } from '../../src/persistence/store.ts'
import { createTempRoom } from '../support/temp-room.ts'

const room = await createTempRoom()
after(() => room.remove())

// Few letters, so that keys meet; among them those which UTF-16 and UTF-8 order differently.
const key = fc
  .array(fc.constantFrom('a', 'b', '\u0000', 'é', '\uffff', '😀'), { maxLength: 3 })
  .map((rest) => `k${rest.join('')}`)
const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({ type: fc.constant('put' as const), key, value: fc.uint8Array({ maxLength: 4 }) }), // `as const`: the tag of the union
  fc.record({ type: fc.constant('del' as const), key }),
)
const range: fc.Arbitrary<KeyRange> = fc.record(
  { gte: key, lt: key, reverse: fc.boolean(), limit: fc.nat({ max: 5 }) },
  { requiredKeys: ['gte', 'lt'] },
)
type Action = { readonly write: readonly Operation[] } | { readonly read: KeyRange } | { readonly reopen: true }
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ write: fc.array(operation, { maxLength: 8 }) }) },
  { weight: 4, arbitrary: fc.record({ read: range }) },
  { weight: 1, arbitrary: fc.record({ reopen: fc.constant(true as const) }) }, // as above
)

function entriesOf(model: ReadonlyMap<string, Uint8Array>, { gte, lt, reverse = false, limit = model.size }: KeyRange) {
  const sorted = [...model].sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)))
  const within = sorted.filter(([k]) => compare(k, gte) >= 0 && compare(k, lt) < 0)
  return (reverse ? within.toReversed() : within).slice(0, limit)
}

const compare = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))

async function behavesLikeAMap(actions: readonly Action[], open: () => Promise<Store>, reopen?: (l: string) => Promise<Store>) {
  let store = await open()
  const model = new Map<string, Uint8Array>()
  for (const step of actions) {
    if ('write' in step) {
      await store.write(step.write, { sync: false })
      for (const done of step.write) done.type === 'put' ? model.set(done.key, done.value) : model.delete(done.key)
    } else if ('read' in step) {
      const read: unknown[] = []
      for await (const entry of store.entries(step.read)) read.push([...entry])
      assert.deepEqual(read, entriesOf(model, step.read))
    } else if (reopen !== undefined) {
      await store.close()
      store = await reopen(store.location)
    }
  }
  assert.deepEqual(await store.getMany([...model.keys()]), [...model.values()])
  await store.close()
}

describe('a store behaves like a sorted map', () => {
  it('in memory', async () => {
    const holds = fc.asyncProperty(fc.array(action, { maxLength: 30 }), (actions) => behavesLikeAMap(actions, openMemoryStore))
    await fc.assert(holds, { numRuns: 200 })
  })

  it('on LevelDB, over openings', async () => {
    const open = (): Promise<Store> => openLevelStore(room.path())
    const holds = fc.asyncProperty(fc.array(action, { maxLength: 30 }), (actions) =>
      behavesLikeAMap(actions, open, openLevelStore),
    )
    await fc.assert(holds, { numRuns: 60 })
  })
})
