/** What is left of a run after a fault: what has ended stays so, what is gone leaves nothing, and nobody beside it is disturbed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPerdureError, type RuntimeEvent, sendToRun } from 'perdure'
import { type AnyActorRef, assign, fromPromise, sendTo, setup } from 'xstate'
import { createHookedStore } from '../support/hooked-store.ts'
import { rejectsWith } from '../support/machine-room.ts'

const throwing = (): never => {
  throw new RangeError('boom')
}
const createCounter = () =>
  setup({ types: { context: {} as { readonly n: number } } }).createMachine({
    id: 'counter',
    context: { n: 0 },
    on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
  })

test('a machine that throws at a deadline does what comes before that once, however often the run is asked for', async () => {
  let charged = 0
  const machine = setup({}).createMachine({
    id: 'm',
    initial: 'a',
    states: { a: { after: { 5: { target: 'b', actions: [() => void charged++, throwing] } } }, b: {} },
  })
  const store = await createHookedStore()
  const failed: RuntimeEvent[] = []
  for (let life = 0; life < 3; life++) {
    const runtime = store.open([machine])
    runtime.subscribe((event) => event.type === 'machine.failed' && failed.push(event))
    const run = await runtime.start(machine, { id: 'x' })
    await assert.rejects(run.done({ timeoutMs: 1_000 }), { message: 'boom' })
    await rejectsWith(run.waitFor('b', { timeoutMs: 1_000 }), 'RUN_ENDED')
    await rejectsWith(run.send({ type: 'any' }), 'RUN_ENDED')
    assert.equal((await run.snapshot()).value, 'a')
    await runtime.close()
  }
  assert.equal(charged, 1)
  assert.equal(failed.length, 1)
})

test('a pending event that a grandchild left behind when its parent failed does not damage the run', async () => {
  const toRoot = (actor: AnyActorRef): AnyActorRef => (actor._parent === undefined ? actor : toRoot(actor._parent))
  const grandchild = setup({}).createMachine({
    id: 'grandchild',
    entry: sendTo(({ self }) => toRoot(self), { type: 'late' }, { delay: 3_600_000 }),
  })
  const middle = setup({ actors: { grandchild } }).createMachine({
    id: 'middle',
    invoke: { src: 'grandchild', id: 'left' },
    on: { fail: { actions: throwing } },
  })
  const machine = setup({ actors: { middle } }).createMachine({
    id: 'm',
    initial: 'a',
    on: { late: {} },
    states: {
      a: {
        invoke: { src: 'middle', id: 'middle', onError: 'b' },
        on: { fail: { actions: sendTo('middle', { type: 'fail' }) } },
      },
      b: { on: { next: 'c' } },
      c: {},
    },
  })
  const store = await createHookedStore()
  const first = store.open([machine])
  const run = await first.start(machine, { id: 'x' })
  await run.send({ type: 'fail' })
  assert.equal((await run.snapshot()).value, 'b')
  await first.close()
  const second = store.open([machine])
  const same = second.get<typeof machine>('x')
  await same.send({ type: 'next' })
  assert.equal((await same.snapshot()).value, 'c')
  await second.close()
})

test('an id whose run is half deleted begins afresh: nothing of the other is taken for its own or removes it later', async () => {
  const machine = createCounter()
  const store = await createHookedStore()
  let readsLeft = Number.POSITIVE_INFINITY
  const runtime = store.open([machine], {
    read(key) {
      if (key === 'r/x/' && --readsLeft === 0) throw new Error('EIO')
    },
  })
  const run = await runtime.start(machine, { id: 'x' })
  await Promise.all(Array.from({ length: 1_200 }, (_, index) => run.send({ type: 'add' }, { id: `e${index}` })))
  readsLeft = 2 // the first counts what there is, the second removes it
  await assert.rejects(runtime.delete('x'), { message: 'EIO' })
  assert.deepEqual(
    (await store.keys()).filter((key) => /^[hx]/.test(key)),
    ['x/x'],
  )
  const fresh = await runtime.start(machine, { id: 'x' })
  await fresh.send({ type: 'add' })
  await fresh.send({ type: 'add' }, { id: 'e1150' })
  assert.equal((await fresh.snapshot()).context.n, 2)
  await runtime.close()
  const marks = (await store.keys()).filter((key) => key.startsWith('x/'))
  assert.deepEqual(marks, [], 'the next opening would remove the run')
})

test('a run that is not in memory is cancelled without anything of it being started', async () => {
  let executed = 0
  const machine = setup({
    actors: {
      hang: fromPromise(() => {
        executed++
        return new Promise(() => {})
      }),
    },
  }).createMachine({ id: 'm', invoke: { src: 'hang' } })
  const store = await createHookedStore()
  const first = store.open([machine])
  await first.start(machine, { id: 'x' })
  await first.close()
  assert.equal(executed, 1)
  const second = store.open([machine], {}, false)
  const run = second.get('x')
  await run.cancel('not wanted')
  await rejectsWith(run.done(), 'RUN_CANCELLED')
  await rejectsWith(run.send({ type: 'any' }), 'RUN_ENDED')
  await second.close()
  assert.equal(executed, 1)
  const left = (await store.keys()).filter((key) => /^[fw]/.test(key))
  assert.match(left.join(), /^f\/\d{16}\/x$/)
})

test('a run that cannot be recorded fails alone: who shares its batch is on disk, and no message of it is left', async () => {
  const machine = setup({ types: { context: {} as { readonly n: number; readonly kept: unknown } } }).createMachine({
    id: 'm',
    context: { n: 0, kept: undefined },
    on: {
      add: { actions: assign({ n: ({ context }) => context.n + 1 }) },
      bad: { actions: [sendToRun('c', { type: 'add' }), assign({ kept: () => () => 'a function' })] },
      toSelf: { actions: sendToRun('a', { type: 'add' }) },
      toNobody: { actions: sendToRun('nobody', { type: 'add' }) },
      badByMessage: { actions: sendToRun('a', { type: 'bad' }) },
    },
  })
  const store = await createHookedStore()
  const runtime = store.open([machine])
  const events: string[] = []
  runtime.subscribe(({ type, runId }) => events.push(`${type} ${runId}`))
  const [a, b, c] = await Promise.all([
    runtime.start(machine, { id: 'a' }),
    runtime.start(machine, { id: 'b' }),
    runtime.start(machine, { id: 'c' }),
  ])
  const toCounts = () => Promise.all([a, b, c].map(async (run) => (await run.snapshot()).context.n))

  const refused = rejectsWith(a.send({ type: 'bad' }), 'VALUE_NOT_STORABLE')
  await Promise.all([refused, b.send({ type: 'add' }), c.send({ type: 'add' })])
  assert.deepEqual(await toCounts(), [0, 1, 1])

  await a.send({ type: 'toSelf' })
  await a.waitFor(({ context }) => context.n === 1, { timeoutMs: 1_000 })
  await a.send({ type: 'toNobody' })

  const ended = rejectsWith(a.done({ timeoutMs: 1_000 }), 'VALUE_NOT_STORABLE')
  await b.send({ type: 'badByMessage' })
  await ended
  await rejectsWith(a.send({ type: 'add' }), 'RUN_ENDED')
  assert.deepEqual(await toCounts(), [1, 1, 1])
  await runtime.close()
  assert.deepEqual(
    (await store.keys()).filter((key) => /^[iw]/.test(key)),
    [],
  )
  assert.deepEqual(events.filter((event) => !event.startsWith('machine.started')).sort(), [
    'machine.failed a',
    'message.dropped a',
    'message.dropped nobody',
  ])
})

test('all who wait for runs of a store that does not write any more hear of it', async () => {
  const machine = createCounter()
  const store = await createHookedStore()
  let isBroken = false
  const runtime = store.open([machine], {
    write() {
      if (isBroken) throw new Error('EIO')
    },
  })
  const a = await runtime.start(machine, { id: 'a' })
  const b = await runtime.start(machine, { id: 'b' })
  const waits = [
    a.done({ timeoutMs: 1_000 }),
    b.done({ timeoutMs: 1_000 }),
    b.waitFor(({ context }) => context.n > 5, { timeoutMs: 1_000 }),
  ].map((wait) => assert.rejects(wait, (error) => !isPerdureError(error, 'WAIT_TIMEOUT')))
  isBroken = true
  await assert.rejects(a.send({ type: 'add' }))
  await Promise.all(waits)
  await runtime.close()
})
