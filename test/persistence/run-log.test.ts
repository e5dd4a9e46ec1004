import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isPerdureError } from '../../src/errors.ts'
import { createCommitter } from '../../src/persistence/commit.ts'
import { headKey, stepKey } from '../../src/persistence/keys.ts'
import { createRunLog, loadHead, loadHeads, openRunLog, type RunLog, type StepRecord } from '../../src/persistence/run-log.ts'
import { type HeldStore, openHeldStore } from '../support/held-store.ts'

const RUN = 'run 1'
const step = (value: unknown, status: StepRecord['status'] = 'ok'): StepRecord => ({
  kind: 'step',
  name: 'name',
  status,
  attempt: 1,
  startedAt: 1,
  value,
})

async function openRoom() {
  const store = await openHeldStore()
  let time = 0
  const room = { store, committer: createCommitter(store, { sync: true }), now: () => ++time }
  let current = room
  const create = (id = RUN): RunLog => createRunLog(room, { id, kind: 'flow', name: 'test', data: { n: 1 } })
  /** What the next process finds. */
  const reopen = async (id = RUN): Promise<RunLog> => {
    await current.committer.idle()
    current = { ...room, committer: createCommitter(store, { sync: true }) }
    return (await openRunLog(current, id)) ?? assert.fail('there is no such run')
  }
  return { store, room, create, reopen }
}
const namesRun =
  (words: RegExp = /./, id = RUN) =>
  (error: unknown): boolean => {
    assert.ok(isPerdureError(error, 'RUN_CORRUPT'), String(error))
    assert.equal(error.details.run, id)
    assert.ok(error.message.includes(`\`${id}\``), error.message)
    assert.match(error.message, words)
    return true
  }
async function damage(store: HeldStore, key: string): Promise<void> {
  const bytes = (await store.get(key)) ?? assert.fail(`no ${key}`)
  await store.write([{ type: 'put', key, value: bytes.with(9, (bytes[9] ?? 0) ^ 1) }])
}

describe('a run log', () => {
  it('has nothing on disk before its first commit, and everything after it', async () => {
    const { store, create, reopen } = await openRoom()
    const log = create()
    log.putStep('a', step(1))
    log.follow(() => ({ state: 'ready' }))
    log.update({ status: 'completed', data: { n: 2 } })
    assert.equal(await loadHead(store, RUN), undefined)
    await log.commit()
    const after = await reopen()
    assert.deepEqual(after.head, log.head)
    assert.deepEqual(
      { ...after.head, snapshot: 0 },
      {
        id: RUN,
        kind: 'flow',
        name: 'test',
        data: { n: 2 },
        status: 'completed',
        createdAt: 1,
        updatedAt: 2,
        snapshot: 0,
        steps: 1,
      },
    )
    assert.deepEqual(await after.loadSnapshot(), { state: 'ready' })
    assert.equal(after.step('a'), undefined)
    await after.loadSteps()
    assert.deepEqual(after.steps(''), [['a', step(1)]])
  })

  it('writes steps, snapshot and head of one commit in one batch', async () => {
    const { store, create } = await openRoom()
    const log = create()
    log.putStep('a', step(1))
    log.follow(() => ({ state: 'ready', text: 'x'.repeat(1_000) }))
    await log.commit()
    assert.equal(store.writes.length, 1)
    assert.deepEqual(
      store.writes[0]?.operations.map(({ key }) => key),
      ['r/run%201/s/a', 'r/run%201/b', 'h/run%201'],
    )
  })

  it('writes nothing when nothing has changed, and the head alone when only that has', async () => {
    const { store, create } = await openRoom()
    const log = create()
    log.follow(() => 'the same')
    await log.commit()
    await log.commit()
    assert.equal(store.writes.length, 1)
    log.update({ data: 1 })
    await log.commit()
    assert.deepEqual(
      store.writes[1]?.operations.map(({ key }) => key),
      ['h/run%201'],
    )
  })

  it('keeps the indexes of its head', async () => {
    const { store, create } = await openRoom()
    const log = create()
    log.update({ wakeAt: 5 })
    await log.commit()
    log.update({ wakeAt: 7 })
    await log.commit()
    log.update({ wakeAt: undefined, endedAt: 9 })
    await log.commit()
    assert.deepEqual(
      store.writes.map(({ operations }) => operations.map(({ type, key }) => `${type} ${key}`)),
      [
        ['put w/0000000000000005/run%201', 'put h/run%201'],
        ['del w/0000000000000005/run%201', 'put w/0000000000000007/run%201', 'put h/run%201'],
        ['del w/0000000000000007/run%201', 'put f/0000000000000009/run%201', 'put h/run%201'],
      ],
    )
  })

  it('does what is staged with the next commit, and tells when it is on disk', async () => {
    const { store, create } = await openRoom()
    const log = create()
    const told: number[] = []
    log.follow(
      () => 1,
      () => told.push(store.writes.length),
    )
    log.stage({ type: 'del', key: 'i/x/1' })
    await log.commit()
    log.stage({ type: 'del', key: 'i/x/2' })
    await log.commit()
    assert.deepEqual(
      store.writes.map(({ operations }) => operations.filter(({ type }) => type === 'del').map(({ key }) => key)),
      [['i/x/1'], ['i/x/2']],
    )
    assert.deepEqual(told, [1, 2])
  })

  it('tells the runs of a store in order, one that is damaged as its error', async () => {
    const { store, create } = await openRoom()
    for (const id of ['b', 'a', 'c/ä']) await create(id).commit()
    await damage(store, headKey('b'))
    const heads: unknown[] = []
    for await (const head of loadHeads(store)) heads.push('id' in head ? head.id : head)
    assert.deepEqual([heads[0], heads[2]], ['a', 'c/ä'])
    assert.ok(namesRun(/./, 'b')(heads[1]))
  })

  it('refuses a value that cannot be kept at once, and records the rest', async () => {
    const { create, reopen } = await openRoom()
    const log = create()
    const refused = (error: unknown): boolean => isPerdureError(error, 'VALUE_NOT_STORABLE')
    assert.throws(
      () =>
        log.putStep(
          'a',
          step(() => 1),
        ),
      refused,
    )
    assert.throws(() => log.update({ data: () => 1 }), refused)
    log.putStep('b', step(1))
    await log.commit()
    const after = await reopen()
    await after.loadSteps()
    assert.deepEqual([after.steps('').length, after.head.data], [1, { n: 1 }])
  })

  it('whose snapshot cannot be kept fails to commit and keeps its changes for the next commit', async () => {
    const { create, reopen } = await openRoom()
    const log = create()
    let state: unknown = { bad: () => 1 }
    log.follow(() => state)
    log.putStep('a', step(1))
    await assert.rejects(log.commit(), (error) => isPerdureError(error, 'VALUE_NOT_STORABLE'))
    state = { good: 1 }
    await log.commit()
    const after = await reopen()
    await after.loadSteps()
    assert.deepEqual([after.steps(''), await after.loadSnapshot()], [[['a', step(1)]], { good: 1 }])
  })

  it('takes the data of its head when it is given them', async () => {
    const { room, create, reopen } = await openRoom()
    const log = create()
    const data: { n: unknown } = { n: 1 }
    log.update({ data })
    data.n = () => 1
    await log.commit()
    assert.deepEqual((await reopen()).head.data, { n: 1 })
    assert.throws(
      () => log.update({ data }),
      (error) => isPerdureError(error, 'VALUE_NOT_STORABLE'),
    )
    assert.throws(
      () => createRunLog(room, { id: 'other', kind: 'flow', name: 'test', data: () => 1 }),
      (error) => isPerdureError(error, 'VALUE_NOT_STORABLE'),
    )
  })

  it('that was abandoned writes nothing and says so', async () => {
    const { store, create, reopen } = await openRoom()
    const log = create()
    await log.commit()
    log.putStep('a', step(1))
    log.abandon()
    await assert.rejects(log.commit(), (error) => isPerdureError(error, 'ABORTED') && error.message.includes(RUN))
    assert.equal(store.writes.length, 1)
    await (await reopen()).loadSteps()
  })

  it('follows a snapshot only after it was loaded', async () => {
    const { create, reopen } = await openRoom()
    const log = create()
    log.follow(() => ({ n: 1 }))
    await log.commit()
    const after = await reopen()
    assert.throws(() => after.follow(() => ({ n: 2 })), TypeError)
    const [one, other] = await Promise.all([after.loadSnapshot(), after.loadSnapshot()])
    assert.equal(one, other)
    after.follow(() => ({ n: 2 }))
    await after.commit()
    after.follow(undefined)
    await after.commit()
    assert.deepEqual(await (await reopen()).loadSnapshot(), { n: 2 })
  })
})

describe('steps', () => {
  it('of any key are kept apart and found by their beginning, in key order', async () => {
    const { create, reopen } = await openRoom()
    const keys = ['', 'a', 'a/b', 'a%2Fb', 'é', '\ud800', '\ud801', '\ufffd', '\0', ' ', '😀', '\u{10ffff}', '__proto__', '%0061']
    const log = create()
    for (const [index, key] of keys.entries()) log.putStep(key, step(index))
    await log.commit()
    const after = await reopen()
    for (const [index, key] of keys.entries()) assert.deepEqual(await after.loadStep(key), step(index))
    const again = await reopen()
    await again.loadSteps()
    assert.deepEqual(
      again.steps('').map(([key]) => key),
      keys.toSorted(),
    )
    const some = await reopen()
    await some.loadSteps('a')
    assert.deepEqual(
      some.steps('').map(([key]) => key),
      ['a', 'a/b', 'a%2Fb'].toSorted(),
    )
  })

  it('of another run with a similar id do not appear', async () => {
    const { create, reopen } = await openRoom()
    for (const id of ['a', 'a/s', 'a/s/x', 'b']) {
      const log = create(id)
      log.putStep(`of ${id}`, step(1))
      await log.commit()
    }
    for (const id of ['a', 'a/s', 'a/s/x']) {
      const log = await reopen(id)
      await log.loadSteps()
      assert.deepEqual(log.steps(''), [[`of ${id}`, step(1)]])
    }
  })

  it('that are released before they are on disk are still found, also while they are being written', async () => {
    const { store, create, reopen } = await openRoom()
    const log = create()
    log.putStep('a', step(1))
    log.releaseSteps('')
    assert.equal(log.step('a'), undefined)
    assert.deepEqual(await log.loadStep('a'), step(1))
    log.releaseSteps('')
    store.hold()
    const commit = log.commit()
    await store.held()
    assert.deepEqual(await log.loadStep('a'), step(1))
    log.releaseSteps('')
    log.putStep('a', step(2))
    assert.equal(log.head.steps, 1)
    store.release()
    await commit
    const second = log.commit()
    await store.held()
    store.release()
    await second
    const after = await reopen()
    await after.loadSteps()
    assert.deepEqual(after.steps(''), [['a', step(2)]])
  })

  it('are counted rightly when all are loaded while others are recorded and written', async () => {
    const { store, create } = await openRoom()
    const log = create()
    log.putStep('a', step(1))
    log.putStep('b', step(1))
    await log.commit()
    store.hold()
    log.putStep('c', step(1))
    log.deleteStep('a')
    const commit = log.commit()
    await store.held()
    log.putStep('d', step(1))
    log.releaseSteps('')
    const loading = log.loadSteps()
    log.putStep('e', step(1))
    await loading
    assert.deepEqual(
      log.steps('').map(([key]) => key),
      ['b', 'c', 'd', 'e'],
    )
    store.release()
    await commit
  })

  it('that are not in memory are not deleted', async () => {
    const { create, reopen } = await openRoom()
    const log = create()
    log.putStep('a', step(1))
    await log.commit()
    const after = await reopen()
    after.deleteStep('a')
    await after.commit()
    const again = await reopen()
    await again.loadSteps()
    again.deleteStep('a')
    again.deleteStep('a')
    await again.commit()
    const last = await reopen()
    await last.loadSteps()
    assert.deepEqual([last.steps(''), last.head.steps], [[], 0])
  })

  it('that are missing, damaged or of a wrong shape are noticed, and the run is named', async () => {
    const write = async (change: (store: HeldStore) => Promise<void>): Promise<RunLog> => {
      const { store, create, reopen } = await openRoom()
      const log = create()
      for (const key of ['a', 'b', 'c']) log.putStep(key, step(key))
      await log.commit()
      await change(store)
      return reopen()
    }
    const key = stepKey(RUN, 'b')
    const missing = await write((store) => store.write([{ type: 'del', key }]))
    await assert.rejects(missing.loadSteps(), namesRun(/2 records instead of 3/))
    const damaged = await write((store) => damage(store, key))
    await assert.rejects(damaged.loadSteps(), namesRun(/cannot be read/))
    await assert.rejects(damaged.loadStep('b'), namesRun(/cannot be read/))
    assert.deepEqual(await damaged.loadStep('a'), step('a'))
    const moved = await write(async (store) => {
      const value = (await store.get(stepKey(RUN, 'a'))) ?? assert.fail()
      await store.write([{ type: 'put', key, value }])
    })
    await assert.rejects(moved.loadStep('b'), namesRun(/cannot be read/))
    const { create, reopen } = await openRoom()
    const log = create()
    log.putStep('a', { kind: 'step' } as StepRecord) // what another program wrote
    await log.commit()
    await assert.rejects((await reopen()).loadSteps(), namesRun(/is not what it should be/))
  })
})

describe('a damaged head', () => {
  it('is noticed, and the run is named', async () => {
    const { store, create, reopen } = await openRoom()
    await create().commit()
    await create('other').commit()
    await damage(store, headKey(RUN))
    await assert.rejects(reopen(), namesRun(/cannot be read/))
    assert.equal((await reopen('other')).id, 'other')
  })

  it('of an id that is none is refused', async () => {
    const { room } = await openRoom()
    await assert.rejects(openRunLog(room, ''), (error) => isPerdureError(error, 'RUN_ID_INVALID'))
    assert.throws(
      () => createRunLog(room, { id: '\ud800', kind: 'flow', name: 'test', data: 1 }),
      (error) => isPerdureError(error, 'RUN_ID_INVALID'),
    )
    assert.equal(await openRunLog(room, 'nobody'), undefined)
  })
})

describe('what was committed', () => {
  interface State {
    readonly steps: ReadonlyMap<string, number>
    readonly state: { readonly log: readonly number[]; readonly last: number } | undefined
    readonly data: number
  }
  type Action =
    | { readonly type: 'put' | 'delete'; readonly key: string }
    | { readonly type: 'state' | 'data' | 'commit' | 'ask' | 'crash' | 'load' }
    | { readonly type: 'release'; readonly key: string }
  const key = fc.constantFrom('a', 'b', 'c/1', 'c/2', '\ud800', '%')
  const action: fc.Arbitrary<Action> = fc.oneof(
    { weight: 4, arbitrary: fc.record({ type: fc.constantFrom('put' as const, 'delete' as const), key }) }, // tags of the union
    { weight: 6, arbitrary: fc.record({ type: fc.constantFrom(...(['state', 'data', 'commit', 'ask', 'load'] as const)) }) }, // as above
    { weight: 1, arbitrary: fc.record({ type: fc.constant('crash' as const) }) }, // as above
    { weight: 1, arbitrary: fc.record({ type: fc.constant('release' as const), key: fc.constantFrom('c/', 'a') }) }, // as above
  )

  it('is there after a crash, what was not is not, and head, steps and snapshot agree (P5)', async () => {
    const survives = async (actions: readonly Action[]): Promise<void> => {
      const { create, reopen } = await openRoom()
      let log = create()
      let now: State = { steps: new Map(), state: undefined, data: 0 }
      let committed: State | undefined
      /** Asked for, not awaited: it may or may not be there after a crash. */
      let asked: State[] = []
      let count = 0
      const attach = (): void => log.follow(() => now.state)
      const check = async (): Promise<void> => {
        const found: State = {
          steps: new Map(log.steps('').map(([name, record]) => [name, record.value as number])), // as put below
          state: (await log.loadSnapshot()) as State['state'], // as written below
          data: (log.head.data as { n: number }).n, // as updated below
        }
        const possible = [...(committed === undefined ? [] : [committed]), ...asked]
        const matching = possible.find((state) => {
          try {
            assert.deepStrictEqual(found, state)
            return true
          } catch {
            return false
          }
        })
        if (matching === undefined) assert.deepStrictEqual(found, possible.at(-1))
        now = found
      }
      const put = (value: number, name: string): void => {
        log.putStep(name, step(value))
        now = { ...now, steps: new Map([...now.steps, [name, value]]) }
      }
      log.update({ data: { n: 0 } })
      await log.commit()
      committed = now
      attach()
      for (const next of actions) {
        count++
        switch (next.type) {
          case 'put':
            await log.loadStep(next.key)
            put(count, next.key)
            break
          case 'delete': {
            await log.loadStep(next.key)
            log.deleteStep(next.key)
            now = { ...now, steps: new Map([...now.steps].filter(([name]) => name !== next.key)) }
            break
          }
          case 'state':
            now = { ...now, state: { log: [...(now.state?.log ?? []), count].slice(-5), last: count } }
            break
          case 'data':
            log.update({ data: { n: count } })
            now = { ...now, data: count }
            break
          case 'ask':
            asked.push(now)
            void log.commit()
            await log.loadStep('beside')
            put(count, 'beside')
            break
          case 'commit':
            await log.commit()
            committed = now
            asked = []
            break
          case 'release':
            log.releaseSteps(next.key)
            break
          case 'load':
            await log.loadSteps()
            assert.deepEqual(
              new Map(log.steps('').map(([name, record]) => [name, record.value])),
              new Map([...now.steps].sort(([a], [b]) => (a < b ? -1 : 1))),
            )
            break
          case 'crash':
            log.abandon()
            log = await reopen()
            await log.loadSteps()
            await check()
            committed = now
            asked = []
            attach()
        }
        // What happens before the batch is cut goes with it.
        if (asked.length > 0) asked.push(now)
      }
      log.abandon()
      log = await reopen()
      await log.loadSteps()
      await check()
    }
    await fc.assert(fc.asyncProperty(fc.array(action, { maxLength: 25 }), survives), { numRuns: 400 })
  })

  it('is whole or absent when the process dies at any write', async () => {
    for (let dies = 0; dies < 12; dies++) {
      const { store, create, reopen } = await openRoom()
      const log = create()
      let turn = 0
      let acknowledged = -1
      log.follow(() => ({ turn }))
      const die = new Error('the process died')
      store.hold()
      for (turn = 0; turn < 12; turn++) {
        log.putStep(`step/${turn}`, step(turn))
        log.update({ data: { turn } })
        const commit = log.commit()
        await store.held()
        store.release(turn === dies ? die : undefined)
        const isDone = await commit.then(
          () => true,
          () => false,
        )
        if (!isDone) break
        acknowledged = turn
      }
      assert.equal(acknowledged, dies - 1)
      if (dies === 0) assert.equal(await loadHead(store, RUN), undefined)
      else {
        const after = await reopen()
        await after.loadSteps()
        assert.equal(after.steps('step/').length, dies)
        assert.deepEqual([after.head.data, await after.loadSnapshot()], [{ turn: dies - 1 }, { turn: dies - 1 }])
      }
    }
  })
})
