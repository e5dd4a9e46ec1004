/** What `verify` says of a store that is whole, and of one that is damaged in each way. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { buildAgent, openRuntime } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import type { Finding } from '../../src/management/finding.ts'
import { verifyStore } from '../../src/management/verify.ts'
import { decodeRecord, encodeRecord } from '../../src/persistence/codec.ts'
import {
  deletionKey,
  endedKey,
  endedRange,
  headKey,
  inboxKey,
  keptRange,
  pinRange,
  questionRange,
  rangeOf,
  stepRange,
  wakeRange,
} from '../../src/persistence/keys.ts'
import { openLevelStore } from '../../src/persistence/leveldb.ts'
import { parseHead } from '../../src/persistence/run-record.ts'
import type { KeyRange, Operation, Store } from '../../src/persistence/store.ts'
import { TAKEN_KEYS } from '../../src/runtime/taken-record.ts'
import { createManagedRoom, toArray } from '../support/managed-store.ts'

let room: Awaited<ReturnType<typeof createManagedRoom>>
before(async () => {
  room = await createManagedRoom()
})
after(() => room.remove())

async function firstIn(store: Store, range: KeyRange, step = 0): Promise<readonly [string, Uint8Array]> {
  const entry = (await toArray(store.entries(range)))[step]
  if (entry === undefined) throw new Error(`Nothing in ${range.gte}`)
  return entry
}
const del = (key: string): Operation => ({ type: 'del', key })
const put = (key: string, value: unknown): Operation => ({ type: 'put', key, value: encodeRecord(key, value) })
const flip = ([key, value]: readonly [string, Uint8Array], at = -1): Operation => {
  const bytes = new Uint8Array(value)
  const index = at < 0 ? bytes.length + at : at
  bytes[index] = (bytes[index] ?? 0) ^ 0x10
  return { type: 'put', key, value: bytes }
}

const toText = ({ kind, run, costs, isRemovable }: Finding): string => `${kind} ${run} ${costs}${isRemovable ? ' removable' : ''}`

type Damage = readonly [name: string, damage: (store: Store) => Promise<readonly Operation[]>, found: readonly string[]]

/** How the store is damaged, and what is found. */
const damages: readonly Damage[] = [
  ['nothing', async () => [], []],
  ['a bit of a head', async (store) => [flip(await firstIn(store, rangeOf(headKey('door/ajar'))))], ['head door/ajar run']],
  [
    'a head of a newer format',
    async (store) => {
      const [key, value] = await firstIn(store, rangeOf(headKey('door/ajar')))
      return [{ type: 'put', key, value: new Uint8Array([9, ...value.subarray(1)]) }]
    },
    ['newer door/ajar run'],
  ],
  [
    'the head of another run',
    async (store) => {
      const { id, ...head } = parseHead('door/ajar', ...(await firstIn(store, rangeOf(headKey('door/ajar')))))
      return [put(headKey('door/ajar'), { ...head, id: `${id}!` })]
    },
    ['head door/ajar run'],
  ],
  ['a head without its fields', async () => [put(headKey('door/ajar'), { id: 'door/ajar' })], ['head door/ajar run']],
  [
    'a head whose data is none',
    async (store) => {
      const head = parseHead('door/ajar', ...(await firstIn(store, rangeOf(headKey('door/ajar')))))
      return [put(headKey('door/ajar'), { ...head, data: 7 })]
    },
    ['head door/ajar run'],
  ],
  [
    'no head',
    async () => [del(headKey('door/ajar'))],
    ['indexStale door/ajar nothing removable', 'orphan door/ajar nothing removable'],
  ],
  [
    'no head of one that has ended',
    async () => [del(headKey('door/shut'))],
    ['indexStale door/shut nothing removable', 'orphan door/shut nothing removable'],
  ],
  ['a bit of a step', async (store) => [flip(await firstIn(store, stepRange('report/1')))], ['step report/1 run']],
  [
    'a step that is none',
    async (store) => [put((await firstIn(store, stepRange('report/1')))[0], { kind: 'step' })],
    ['step report/1 run'],
  ],
  [
    'a step of another key',
    async (store) => {
      const [key] = await firstIn(store, stepRange('report/1'))
      const [, value] = await firstIn(store, stepRange('report/1'), 1)
      return [{ type: 'put', key, value }]
    },
    ['step report/1 run'],
  ],
  [
    'what a machine took, if it cannot be replayed',
    async (store) => {
      const [key, value] = await firstIn(store, stepRange('door/ajar', TAKEN_KEYS), 1)
      const record = decodeRecord(key, value) as object // as it was written
      return [put(key, { ...record, value: { event: 'open' } })]
    },
    ['step door/ajar part'],
  ],
  ['a step too few', async (store) => [del((await firstIn(store, stepRange('report/1')))[0])], ['journal report/1 run']],
  [
    'all steps gone',
    async (store) => (await toArray(store.entries(stepRange('report/1')))).map(([key]) => del(key)),
    ['journal report/1 run'],
  ],
  [
    'a bit of the base of a snapshot',
    async (store) => [flip(await firstIn(store, rangeOf('r/helper%2Fann/b')))],
    ['snapshot helper/ann run'],
  ],
  ['no base', async () => [del('r/helper%2Fann/b')], ['snapshot helper/ann run']],
  [
    'a delta too few',
    async (store) => [del((await firstIn(store, rangeOf('r/helper%2Fann/d/'), 1))[0])],
    ['snapshot helper/ann run'],
  ],
  [
    'the last delta too few',
    async (store) => [del((await firstIn(store, { ...rangeOf('r/helper%2Fann/d/'), reverse: true }))[0])],
    ['snapshot helper/ann run'],
  ],
  [
    'a run that is not in the index of deadlines',
    async (store) => [del((await firstIn(store, wakeRange()))[0])],
    ['indexMissing door/ajar part'],
  ],
  [
    'a run that is not in the index of ends',
    async (store) => [del((await firstIn(store, endedRange()))[0])],
    ['indexMissing door/shut part'],
  ],
  [
    'a question that is not in its index',
    async (store) => [del((await firstIn(store, questionRange()))[0])],
    ['indexMissing helper/ann part'],
  ],
  ['a deadline of no run', async () => [put('w/0000000000000009/nobody', null)], ['indexStale nobody nothing removable']],
  ['a second deadline', async () => [put('w/0000000000000009/door%2Fajar', null)], ['indexStale door/ajar nothing removable']],
  ['a second end', async () => [put('f/0000000000000009/door%2Fshut', null)], ['indexStale door/shut nothing removable']],
  ['a question of no run', async () => [put('q/nobody/x', null)], ['indexStale nobody nothing removable']],
  [
    'the step of a question',
    async (store) => {
      const [index] = await firstIn(store, questionRange())
      return [flip(await firstIn(store, rangeOf(index.replace('q/helper%2Fann/', 'r/helper%2Fann/s/'))))]
    },
    ['step helper/ann run'],
  ],
  ['a message that cannot be read', async () => [flip(['i/door%2Fajar/1', new Uint8Array(20)])], ['message door/ajar run']],
  ['a message for one that has ended', async () => [put(inboxKey('door/shut', '1'), 7)], ['message door/shut nothing']],
  ['a message for nobody', async () => [put(inboxKey('nobody', '1'), { event: {} })], ['orphan nobody nothing removable']],
  [
    'half of a deletion',
    async (store) => {
      const { endedAt = 0 } = parseHead('report/1', ...(await firstIn(store, rangeOf(headKey('report/1')))))
      return [del(headKey('report/1')), del(endedKey(endedAt, 'report/1')), put(deletionKey('report/1'), null)]
    },
    ['halfDeleted report/1 nothing removable'],
  ],
  ['a deletion that had only begun', async () => [put(deletionKey('nobody'), null)], ['halfDeleted nobody nothing removable']],
  ['a key of nobody', async () => [put('z/what', 1)], ['foreign undefined nothing']],
  ['a key of a run that is none', async () => [put('r/door%2Fajar/?', 1)], ['foreign door/ajar nothing']],
  ['a key with no run', async () => [put('q/%/x', 1)], ['foreign undefined nothing']],
]

describe('verify', () => {
  for (const [name, damage, expected] of damages)
    test(`finds ${name}`, async () => {
      const directory = await room.copy()
      const store = await openLevelStore(directory)
      await store.write(await damage(store))
      const found = await toArray(verifyStore(store))
      await store.close()
      assert.deepEqual(found.map(toText).sort(), [...expected].sort())
    })

  test('knows what forks need of runs that are gone, and misses it', async () => {
    const directory = room.path('forks')
    const agent = () => {
      const model = scriptedModel(({ messages }) => `${messages.length} ${'.'.repeat(600)}`)
      return buildAgent({ name: 'helper', systemPrompt: '', model: 'm' }, { model })
    }
    const fill = await openRuntime({ directory, log: 'silent' })
    const session = fill.durable(agent()).session('ann')
    for (const prompt of ['one', 'two', 'three']) await session.run(prompt)
    await session.fork({ at: { after: 3 }, id: 'bob' })
    await fill.close()
    const verify = async (...operations: Operation[]): Promise<readonly string[]> => {
      const store = await openLevelStore(directory)
      await store.write(operations)
      const found = await toArray(verifyStore(store))
      await store.close()
      return found.map(toText)
    }
    assert.deepEqual(await verify(), [])
    const deleting = await openRuntime({ directory, log: 'silent' })
    await deleting.delete('helper/ann')
    await deleting.close()
    assert.deepEqual(await verify(), [])
    const store = await openLevelStore(directory)
    const pin = await firstIn(store, pinRange())
    const kept = await firstIn(store, keptRange('helper/ann'))
    await store.close()
    assert.deepEqual(await verify(del(kept[0])), ['snapshot helper/bob run'])
    assert.deepEqual(await verify({ type: 'put', key: kept[0], value: kept[1] }), [])
    // What a damaged pin said is known from what needs it.
    assert.deepEqual(await verify(flip(pin)), ['snapshot helper/ann part'])
    const last = await openRuntime({ directory, log: 'silent' })
    assert.match((await last.durable(agent()).session('bob').run('four')).output, /^7 /)
    await last.close()
  })

  test('says which record it is and in which way it is damaged', async () => {
    const store = await openLevelStore(await room.copy())
    const [key, value] = await firstIn(store, stepRange('report/1'))
    await store.write([flip([key, value])])
    const [found] = await toArray(verifyStore(store))
    await store.close()
    assert.equal(found?.key, key)
    assert.equal(found?.what, `The record \`${key}\` does not match its checksum`)
  })
})
