import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { createCommitter } from '../../src/persistence/commit.ts'
import { forkRun } from '../../src/persistence/fork-run.ts'
import { pinRange } from '../../src/persistence/keys.ts'
import { openMemoryStore } from '../../src/persistence/memory.ts'
import { loadPins } from '../../src/persistence/pins.ts'
import { deleteRun, resumeDeletions } from '../../src/persistence/run-deletion.ts'
import { createRunLog, openRunLog, type RunLog } from '../../src/persistence/run-log.ts'
import type { KeyRange, Operation, Store } from '../../src/persistence/store.ts'

interface State {
  readonly list: readonly (string | { readonly text: string })[]
  readonly scratch: string
}

/** Runs over a store that outlives its openings and can fail. */
async function createRuns() {
  const memory = await openMemoryStore()
  /** Called with the number of each write, from 1, before and after it. */
  let onWrite: (number: number, when: 'before' | 'after') => void | Promise<void> = () => {}
  let writes = 0
  let bytes = 0
  const reopen = () => {
    const store: Store = {
      location: 'memory',
      epoch: 1,
      get: (key) => memory.get(key),
      getMany: (keys) => memory.getMany(keys),
      entries: (range) => memory.entries(range),
      compact: async () => {},
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
      async write(operations: readonly Operation[], options) {
        const number = ++writes
        await onWrite(number, 'before')
        await memory.write(operations, options)
        for (const operation of operations) bytes += operation.type === 'put' ? operation.value.byteLength : 0
        await onWrite(number, 'after')
      },
    }
    return { store, committer: createCommitter(store, { sync: true }), now: () => 1 }
  }
  let room = reopen()
  const logs = new Map<string, { readonly log: RunLog; state: State }>()
  const load = async (id: string) => {
    const known = logs.get(id)
    if (known !== undefined) return known
    const log = await openRunLog(room, id)
    if (log === undefined) return undefined
    const loaded = { log, state: (await log.loadSnapshot()) as State }
    log.follow(() => loaded.state)
    logs.set(id, loaded)
    return loaded
  }
  return {
    get store() {
      return room.store
    },
    get bytes() {
      return bytes
    },
    load,
    failAt(number: number, when: 'before' | 'after') {
      writes = 0
      onWrite = (at, moment) => {
        if (at >= number && moment === when) throw new Error('died')
      }
    },
    /** Holds the next write back until `gate` resolves. */
    holdBack(gate: Promise<void>) {
      onWrite = async () => {
        onWrite = () => {}
        await gate
      }
    },
    /** As another process finds it. */
    async reopen() {
      onWrite = () => {}
      logs.clear()
      room = reopen()
      await resumeDeletions(room.store)
    },
    async start(id: string, state: State) {
      const log = createRunLog(room, { id, kind: 'test', name: 'test', data: null })
      const started = { log, state }
      log.follow(() => started.state)
      logs.set(id, started)
      await log.commit()
    },
    async change(id: string, change: Partial<State>) {
      const run = (await load(id)) ?? assert.fail(`no ${id}`)
      run.state = { ...run.state, ...change }
      await run.log.commit()
    },
    async append(id: string, ...items: readonly string[]) {
      const run = (await load(id)) ?? assert.fail(`no ${id}`)
      run.state = { ...run.state, list: [...run.state.list, ...items] }
      await run.log.commit()
    },
    /** What a call of an agent came to: the snapshot names its record. Made again, it takes the place of what it was. */
    async call(id: string, number: number, text: string) {
      const run = (await load(id)) ?? assert.fail(`no ${id}`)
      const key = `call/${number}`
      const before = await run.log.loadStep(key)
      const value = { text }
      run.log.putStep(key, { kind: 'tool', name: 'x', status: 'ok', attempt: 1, startedAt: 1, value })
      const others = run.state.list.filter((one) => before === undefined || !isDeepStrictEqual(one, before.value))
      run.state = { ...run.state, list: [...others, value] }
      await run.log.commit()
      return run.state.list
    },
    fork: (origin: string, id: string, length?: number, more: readonly string[] = [], onRead?: () => Promise<void>) =>
      forkRun(room, origin, id, async (head) => ({
        data: await onRead?.().then(() => head.snapshot.seq),
        status: 'running',
        steps: [['s', { kind: 'x', name: 'x', status: 'ok', attempt: 1, startedAt: 1 }]],
        path: ['list'],
        length,
        toSnapshot: (list) => ({ list: [...list, ...more], scratch: 'new' }),
      })),
    async delete(id: string) {
      await committed(logs.get(id)?.log)
      logs.delete(id)
      return deleteRun(room.store, id, { batchSize: 20 })
    },
    forget: (id: string) => logs.delete(id),
    /** What another process reads. */
    async read(id: string): Promise<State | undefined> {
      await committed(logs.get(id)?.log)
      const log = await openRunLog(room, id)
      return (await log?.loadSnapshot()) as State | undefined
    },
    keys: () => keysOf(memory, { gte: '"', lt: '\u{10ffff}' }),
    pins: () => keysOf(memory, pinRange()),
    collected: async () => (await loadPins(room.store)).collect(),
  }
}

async function keysOf(store: Store, range: KeyRange): Promise<string[]> {
  const keys: string[] = []
  for await (const [key] of store.entries(range)) keys.push(key)
  return keys
}

const committed = async (log: RunLog | undefined): Promise<void> => log?.commit()

const item = (number: number): string => `${number}: ${'x'.repeat(200)}`
const items = (count: number): string[] => Array.from({ length: count }, (_, index) => item(index))

describe('what a call came to', () => {
  const long = (text: string): string => text.padEnd(500, '.')

  it('is there for a fork when its origin makes the call again, is deleted, and has another successor', async () => {
    const runs = await createRuns()
    await runs.start('a', { list: items(3), scratch: '' })
    for (let call = 0; call < 5; call++) await runs.call('a', call, long(`call ${call}`))
    const { list } = (await runs.read('a')) ?? assert.fail()
    await runs.fork('a', 'b')
    await runs.call('a', 4, long('made again'))
    assert.deepEqual((await runs.read('b'))?.list, list)
    await runs.delete('a')
    await runs.start('a', { list: items(3), scratch: '' })
    for (let call = 0; call < 5; call++) await runs.call('a', call, long(`successor ${call}`))
    await runs.fork('a', 'c')
    await runs.reopen()
    assert.deepEqual((await runs.read('b'))?.list, list)
    await runs.delete('a')
    await runs.reopen()
    assert.deepEqual((await runs.read('b'))?.list, list)
    assert.equal((await runs.read('c'))?.list.length, 8)
    for (const id of ['b', 'c']) await runs.delete(id)
    assert.deepEqual(await runs.keys(), [])
  })
})

describe('a fork', () => {
  it('has what came before, and neither changes the other', async () => {
    const runs = await createRuns()
    await runs.start('a', { list: [], scratch: '' })
    for (const one of items(40)) await runs.append('a', one)
    const before = await runs.keys()
    assert.equal(await runs.fork('a', 'b', 30, ['else']), true)
    assert.deepEqual(
      (await runs.keys()).filter((key) => before.includes(key)),
      before,
    )
    await runs.append('b', 'of b')
    await runs.append('a', 'of a')
    await runs.reopen()
    assert.deepEqual(await runs.read('b'), { list: [...items(30), 'else', 'of b'], scratch: 'new' })
    assert.deepEqual(await runs.read('a'), { list: [...items(40), 'of a'], scratch: '' })
    assert.equal(await runs.fork('nobody', 'c'), false)
    await assert.rejects(runs.fork('a', 'b'), { code: 'RUN_CONFLICT' })
    await assert.rejects(runs.fork('a', ''), { code: 'RUN_ID_INVALID' })
  })

  it('of a small run takes what it needs', async () => {
    const runs = await createRuns()
    await runs.start('a', { list: ['one', 'two'], scratch: '' })
    await runs.fork('a', 'b', 1)
    await runs.fork('a', 'c', 0, ['other'])
    await runs.delete('a')
    assert.deepEqual(await runs.read('b'), { list: ['one'], scratch: 'new' })
    assert.deepEqual(await runs.read('c'), { list: ['other'], scratch: 'new' })
    assert.deepEqual(await runs.pins(), [])
  })

  it('needs its origin no more once it has a base of its own', async () => {
    const runs = await createRuns()
    await runs.start('a', { list: items(100), scratch: '' })
    await runs.fork('a', 'b', 2)
    assert.deepEqual(await runs.pins(), ['p/a/b/000000000001'])
    await runs.append('b', item(1)) // what it took is the smallest part of the chain
    await runs.collected()
    assert.deepEqual(await runs.pins(), [])
    await runs.delete('a')
    await runs.reopen()
    assert.deepEqual((await runs.read('b'))?.list, [...items(2), item(1)])
  })

  it('outlives a new base of its origin, and its deletion; what it needs goes with it', async () => {
    const runs = await createRuns()
    await runs.start('a', { list: [], scratch: '' })
    for (const one of items(60)) await runs.append('a', one)
    await runs.fork('a', 'b')
    for (let round = 0; round < 40; round++) await runs.change('a', { scratch: `${round}${'y'.repeat(2_000)}` })
    const { list } = (await runs.read('a')) ?? assert.fail()
    assert.deepEqual((await runs.read('b'))?.list, list)
    await runs.reopen()
    await runs.fork('b', 'c', 50)
    await runs.fork('c', 'd', 40)
    await runs.delete('a')
    await runs.delete('c')
    assert.deepEqual((await runs.read('b'))?.list, list)
    // Under the same id another run begins, and is forked too.
    await runs.start('a', { list: ['another'.repeat(200)], scratch: '' })
    await runs.fork('a', 'e')
    await runs.delete('b')
    await runs.reopen()
    assert.deepEqual((await runs.read('d'))?.list, list.slice(0, 40))
    assert.deepEqual((await runs.read('e'))?.list, ['another'.repeat(200)])
    for (const id of ['d', 'a', 'e']) await runs.delete(id)
    assert.deepEqual(await runs.keys(), [])
  })

  it('that has lost what it took is damaged, and its origin is not', async () => {
    const runs = await createRuns()
    await runs.start('a', { list: items(20), scratch: '' })
    await runs.append('a', 'last')
    await runs.fork('a', 'b')
    const [last = ''] = (await runs.keys()).filter((key) => key.startsWith('r/a/d/'))
    await runs.store.write([{ type: 'del', key: last }])
    await runs.reopen()
    await assert.rejects(runs.read('b'), { code: 'RUN_CORRUPT', message: /`b` is damaged: what it took of run `a`/ })
  })
})

it('a run can be forked while it writes', async () => {
  const runs = await createRuns()
  await runs.start('a', { list: [], scratch: '' })
  const writing = (async () => {
    for (let round = 0; round < 200; round++) {
      await runs.append('a', item(round))
      await runs.change('a', { scratch: `${round}`.padEnd(3_000, 's') })
    }
  })()
  for (let fork = 0; fork < 20; fork++) await runs.fork('a', `f${fork}`)
  await writing
  await runs.reopen()
  const { list } = (await runs.read('a')) ?? assert.fail()
  assert.equal(list.length, 200)
  for (let fork = 0; fork < 20; fork++) {
    const { list: taken } = (await runs.read(`f${fork}`)) ?? assert.fail()
    assert.deepEqual(taken, list.slice(0, taken.length))
    await runs.delete(`f${fork}`)
  }
  await runs.delete('a')
  assert.deepEqual(await runs.keys(), [])
})

it('a fork waits for what its origin is just writing: a new base that it does not know of', async () => {
  const runs = await createRuns()
  await runs.start('a', { list: items(3), scratch: '' })
  for (const letter of ['s', 't']) await runs.change('a', { scratch: letter.repeat(9_000) })
  const gate = Promise.withResolvers<void>()
  runs.holdBack(gate.promise)
  const change = runs.change('a', { scratch: 'u'.repeat(2_000) })
  await setImmediate()
  const fork = runs.fork('a', 'b')
  await setImmediate()
  gate.resolve()
  await Promise.all([change, fork])
  await runs.reopen()
  assert.deepEqual((await runs.read('b'))?.list, items(3))
})

it('an origin that goes on while it is read is read again', async () => {
  const runs = await createRuns()
  await runs.start('a', { list: items(20), scratch: '' })
  let reads = 0
  await runs.fork('a', 'b', 20, [], async () => {
    if (++reads < 3) await runs.append('a', item(20))
  })
  assert.equal(reads, 3)
})

describe('a process that dies', () => {
  const prepare = async () => {
    const runs = await createRuns()
    await runs.start('a', { list: [], scratch: '' })
    for (const one of items(50)) await runs.append('a', one)
    return runs
  }

  it('at any write of a fork leaves it whole or not at all', async () => {
    for (const when of ['before', 'after'] as const) {
      const runs = await prepare()
      const before = await runs.keys()
      runs.failAt(1, when)
      await assert.rejects(runs.fork('a', 'b', 40), /died/)
      await runs.reopen()
      if (when === 'before') assert.deepEqual(await runs.keys(), before)
      else assert.deepEqual((await runs.read('b'))?.list, items(40))
      for (const id of ['a', 'b']) await runs.delete(id)
      assert.deepEqual(await runs.keys(), [])
    }
  })

  it('between a new base of a fork and what it releases leaves nothing behind', async () => {
    const runs = await prepare()
    await runs.fork('a', 'b', 2)
    await runs.delete('a')
    runs.failAt(2, 'before')
    await runs.append('b', item(1))
    await assert.rejects(runs.collected(), /died/)
    assert.equal((await runs.pins()).length, 1)
    await runs.reopen()
    assert.deepEqual((await runs.read('b'))?.list, [...items(2), item(1)])
    assert.deepEqual(await runs.pins(), [])
    await runs.delete('b')
    assert.deepEqual(await runs.keys(), [])
  })

  it('at any write of a deletion leaves the other runs as they are, and the rest goes', async () => {
    for (const order of [
      ['a', 'b', 'c'],
      ['b', 'c', 'a'],
      ['c', 'a', 'b'],
    ])
      for (const when of ['before', 'after'] as const)
        for (let write = 1, died = true; died; write++) {
          const runs = await prepare()
          await runs.fork('a', 'b', 40)
          for (let round = 0; round < 5; round++) await runs.append('b', `of b ${round}`)
          await runs.fork('b', 'c', 42)
          const lists = new Map([
            ['a', items(50)],
            ['b', [...items(40), 'of b 0', 'of b 1', 'of b 2', 'of b 3', 'of b 4']],
            ['c', [...items(40), 'of b 0', 'of b 1']],
          ])
          runs.failAt(write, when)
          died = false
          const left = new Set(order)
          for (const id of order)
            await runs.delete(id).then(
              () => left.delete(id),
              () => {
                died = true
              },
            )
          await runs.reopen()
          for (const id of order) {
            const state = await runs.read(id)
            if (state !== undefined || left.size === 3)
              assert.deepEqual(state?.list ?? lists.get(id), lists.get(id), `${order} ${when} ${write}: ${id}`)
          }
          for (const id of order) await runs.delete(id)
          assert.deepEqual(await runs.keys(), [], `${order} ${when} ${write}`)
        }
  })
})

describe('whatever is forked, written and deleted', () => {
  const ids = ['a', 'b', 'c', 'd']
  const id = fc.constantFrom(...ids)
  const command = fc.oneof(
    { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), id, count: fc.nat(8) }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('call' as const), id, count: fc.nat(9) }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('scratch' as const), id, count: fc.nat(6_000) }) },
    {
      weight: 4,
      arbitrary: fc.record({ do: fc.constant('fork' as const), id, share: fc.double({ min: 0.5, max: 1, noNaN: true }) }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('delete' as const), id }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('reopen' as const) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('passivate' as const), id }) },
  )

  it('each run is what it would be alone, and in the end nothing is left', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 20, maxLength: 80 }), async (commands) => {
        const runs = await createRuns()
        const model = new Map<string, State>()
        let made = 0
        for (const step of commands) {
          if (step.do === 'reopen') {
            await runs.reopen()
            continue
          }
          const state = model.get(step.id)
          if (step.do === 'fork') {
            const to = ids.find((free) => !model.has(free))
            if (state === undefined || to === undefined) continue
            const length = step.share > 0.9 ? undefined : Math.floor(step.share * state.list.length)
            await runs.fork(step.id, to, length)
            model.set(to, { list: state.list.slice(0, length), scratch: 'new' })
          } else if (step.do === 'delete') {
            assert.equal(await runs.delete(step.id), model.delete(step.id))
          } else if (step.do === 'passivate') {
            await runs.read(step.id)
            runs.forget(step.id)
          } else if (state === undefined) {
            const fresh = { list: [item(made++), item(made++), item(made++)], scratch: '' }
            model.set(step.id, fresh)
            await runs.start(step.id, fresh)
          } else if (step.do === 'call') {
            const text = `${made++}${'t'.repeat(400)}`
            model.set(step.id, { ...state, list: structuredClone(await runs.call(step.id, step.count, text)) })
          } else if (step.do === 'append') {
            const more = Array.from({ length: step.count }, () => item(made++))
            await runs.append(step.id, ...more)
            model.set(step.id, { ...state, list: [...state.list, ...more] })
          } else {
            const scratch = `${made++}${'s'.repeat(step.count)}`
            await runs.change(step.id, { scratch })
            model.set(step.id, { ...state, scratch })
          }
          for (const [known, expected] of model) assert.deepEqual(await runs.read(known), expected)
        }
        await runs.reopen()
        for (const [known, expected] of model) assert.deepEqual(await runs.read(known), expected)
        for (const known of model.keys()) await runs.delete(known)
        assert.deepEqual(await runs.keys(), [])
      }),
      { numRuns: 200 },
    )
  })
})
