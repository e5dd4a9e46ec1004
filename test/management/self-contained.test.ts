/** What is exported of a fork, and of a run that has forks, needs no other run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { buildAgent, openRuntime, type Store } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { exportRun } from '../../src/management/export.ts'
import { collectGarbage } from '../../src/management/gc.ts'
import { importRun } from '../../src/management/import.ts'
import { readSnapshot } from '../../src/management/reading.ts'
import { verifyStore } from '../../src/management/verify.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { forkRun } from '../../src/persistence/fork-run.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { deleteRun } from '../../src/persistence/run-deletion.ts'
import { createRunLog } from '../../src/persistence/run-log.ts'
import { createClaims } from '../../src/runtime/claims.ts'
import { NO_SPEND } from '../../src/runtime/spend.ts'
import { toArray } from '../support/managed-store.ts'

const { claim } = createClaims()
const keysOf = async (store: Store) => (await toArray(store.entries({ gte: '"', lt: '\u{10ffff}' }))).map(([key]) => key)

async function takeElsewhere(store: Store, run: string, id?: string): Promise<Store> {
  const elsewhere = await openMemoryStore()
  await importRun({ store: elsewhere, claim }, exportRun(store, run, { now: 1, version: '0' }), { id })
  assert.deepEqual(await toArray(verifyStore(elsewhere)), [])
  return elsewhere
}

test('a fork goes on elsewhere, without its origin', async () => {
  const store = await openMemoryStore()
  const model = scriptedModel(({ messages }) => messages.map(({ content }) => content.slice(0, 3)).join(' ') + '.'.repeat(600))
  const agent = buildAgent({ name: 'helper', systemPrompt: '', model: 'm' }, { model })
  const open = (on: Store) => openRuntime({ store: methodsOf(on), log: 'silent' })
  const runtime = await open(store)
  const session = runtime.durable(agent).session('ann')
  for (const prompt of ['one', 'two', 'tri']) await session.run(prompt)
  const fork = await session.fork({ at: { after: 3 }, id: 'bob' })
  await fork.run('for')
  await fork.fork({ at: { turn: 4 }, id: 'eve' })
  await runtime.close()
  for (const run of ['helper/ann', 'helper/bob', 'helper/eve'])
    for (const id of [undefined, 'helper/another']) {
      const elsewhere = await takeElsewhere(store, run, id)
      const { value } = await readSnapshot(elsewhere, id ?? run)
      assert.deepEqual(value, (await readSnapshot(store, run)).value)
      assert.deepEqual(
        (await keysOf(elsewhere)).filter((key) => /^p\/|\/k\//.test(key)),
        [],
      )
    }
  const elsewhere = await takeElsewhere(store, 'helper/eve')
  const there = await open(elsewhere)
  assert.match((await there.durable(agent).session('eve').resume())?.output ?? '', /^one .* tri .* for\.+$/)
  await there.close()
})

test('a run whose base is beside what its forks need, and gc leaves that', async () => {
  const store = await openMemoryStore()
  const room = { store, committer: createCommitter(store, { sync: true }), now: () => 1 }
  let messages: readonly string[] = []
  let scratch = ''
  const data = { turns: 0, spend: NO_SPEND, owner: 'session' }
  const log = createRunLog(room, { id: 'helper/ann', kind: 'agent', name: 'helper', data })
  log.follow(() => ({ actor: { context: { messages, scratch } } }))
  for (let count = 0; count < 20; count++) {
    messages = [...messages, `${count}`.repeat(300)]
    await log.commit()
  }
  await forkRun(room, 'helper/ann', 'helper/bob', async () => ({
    data,
    status: 'completed',
    steps: [],
    path: ['actor', 'context', 'messages'],
    length: undefined,
    toSnapshot: (list) => ({ actor: { context: { messages: list } } }),
  }))
  for (let count = 0; count < 20; count++) {
    scratch = `${count}`.padEnd(3_000, 's')
    await log.commit()
  }
  assert.ok(log.head.snapshot.base !== undefined)
  assert.deepEqual(await toArray(verifyStore(store)), [])
  const elsewhere = await takeElsewhere(store, 'helper/ann')
  assert.deepEqual((await readSnapshot(elsewhere, 'helper/ann')).value, { actor: { context: { messages, scratch } } })
  const collected = await collectGarbage({ store, claim, now: () => 1 })
  assert.equal(collected.remains, 0)
  await deleteRun(store, 'helper/ann')
  assert.equal((await collectGarbage({ store, claim, now: () => 1 })).remains, 0)
  assert.deepEqual((await readSnapshot(store, 'helper/bob')).value, { actor: { context: { messages } } })
})

const methodsOf = (store: Store): Store => ({
  location: 'memory',
  epoch: store.epoch,
  get: (key) => store.get(key),
  getMany: (keys) => store.getMany(keys),
  entries: (range) => store.entries(range),
  write: (operations, options) => store.write(operations, options),
  compact: async () => {},
  close: async () => {},
  [Symbol.asyncDispose]: async () => {},
})
