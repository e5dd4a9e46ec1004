/** What happens to runs when the disk, a machine or somebody beside them fails at a bad moment. Each of these once went wrong. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromStep } from 'perdure'
import { type AnyActorRef, assign, fromCallback, fromPromise, sendTo, setup, spawnChild, stopChild } from 'xstate'
import { createHookedStore } from '../support/hooked-store.ts'
import { rejectsWith } from '../support/machine-room.ts'

const throwing = (): never => {
  throw new RangeError('boom')
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

test('a machine that throws by itself, at a deadline or at an event of its callback, has failed on disk', async () => {
  const timer = setup({}).createMachine({
    id: 'timer',
    initial: 'a',
    states: { a: { after: { 1: { target: 'b', actions: throwing } } }, b: {} },
  })
  const callback = setup({
    actors: {
      caller: fromCallback(({ sendBack }) => {
        const handle = setTimeout(() => sendBack({ type: 'called' }), 1)
        return () => clearTimeout(handle)
      }),
    },
  }).createMachine({ id: 'callback', invoke: { src: 'caller' }, on: { called: { actions: throwing } } })
  const store = await createHookedStore()
  const runtime = store.open([timer, callback])
  for (const machine of [timer, callback]) {
    const run = await runtime.start(machine.id, { id: machine.id })
    await assert.rejects(run.done(), { message: 'boom' })
  }
  const statuses: string[] = []
  for await (const { status } of runtime.runs()) statuses.push(status)
  assert.deepEqual(statuses, ['failed', 'failed'])
  await runtime.close()
})

test('after a failed write nothing is tried again: sends and waits reject, children are not started anew', async () => {
  let executed = 0
  const machine = setup({
    types: { context: {} as { readonly n: number } },
    actors: {
      hang: fromPromise(() => {
        executed++
        return new Promise(() => {})
      }),
    },
  }).createMachine({
    id: 'm',
    context: { n: 0 },
    invoke: { src: 'hang' },
    on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
  })
  const store = await createHookedStore()
  let isBroken = false
  const runtime = store.open([machine], {
    write() {
      if (isBroken) throw new Error('EIO')
    },
  })
  const run = await runtime.start(machine, { id: 'x' })
  const other = await runtime.start(machine, { id: 'y' })
  const waiting = assert.rejects(other.done())
  isBroken = true
  await assert.rejects(run.send({ type: 'add' }))
  await rejectsWith(run.send({ type: 'add' }), 'STORE_WRITE_FAILED')
  await waiting
  const before = executed
  await pause(50)
  assert.equal(executed, before)
  await runtime.close()
})

test('closing leaves every live run in the index of those that go on by themselves, and does not take one after the other', async () => {
  const machine = setup({
    actors: { step: fromStep(() => pause(1 + Math.random() * 10), { effect: false }) },
  }).createMachine({
    id: 'm',
    initial: 'a',
    states: { a: { invoke: { src: 'step', onDone: 'b' } }, b: { invoke: { src: 'step', onDone: 'a' } } },
  })
  const store = await createHookedStore()
  let slow = false
  const runtime = store.open([machine], {
    async write() {
      if (slow) await pause(5)
    },
  })
  const ids = Array.from({ length: 600 }, (_, index) => `r${index}`)
  await Promise.all(ids.map((id) => runtime.start(machine, { id })))
  slow = true
  await pause(100)
  const startedAt = Date.now()
  await runtime.close()
  assert.ok(Date.now() - startedAt < 2_000)
  assert.equal((await store.keys()).filter((key) => key.startsWith('w/')).length, ids.length)
})

test('a run that is deleted while a commit of it waits leaves nothing', async () => {
  const machine = setup({ types: { context: {} as { readonly text: string } } }).createMachine({
    id: 'm',
    context: { text: '' },
    on: { grow: { actions: assign({ text: ({ context }) => `${context.text}${'x'.repeat(400)}` }) } },
  })
  const store = await createHookedStore()
  const runtime = store.open([machine], { write: () => pause(5) })
  const run = await runtime.start(machine, { id: 'x' })
  const sends = Array.from({ length: 4 }, () => run.send({ type: 'grow' }).catch(() => {}))
  const later = pause(2).then(() => run.send({ type: 'grow' }).catch(() => {}))
  await pause(3)
  assert.equal(await runtime.delete('x'), true)
  await Promise.all([...sends, later])
  assert.deepEqual(await store.keys(), [])
  await rejectsWith(run.snapshot(), 'RUN_NOT_FOUND')
  await runtime.close()
})

test('a pending event of a child that has gone, or was left behind by one that failed, does not damage the run', async () => {
  const child = setup({}).createMachine({
    id: 'child',
    entry: sendTo(({ self }) => self._parent as AnyActorRef, { type: 'late' }, { delay: 3_600_000 }),
  })
  const machine = setup({ actors: { child } }).createMachine({
    id: 'm',
    on: { spawn: { actions: spawnChild('child', { id: 'k' }) }, stop: { actions: stopChild('k') }, late: {} },
  })
  const store = await createHookedStore()
  const first = store.open([machine])
  const run = await first.start(machine, { id: 'x' })
  for (const type of ['spawn', 'spawn', 'stop'] as const) await run.send({ type })
  await first.close()
  const second = store.open([machine])
  await second.get<typeof machine>('x').send({ type: 'spawn' })
  await second.close()
})

test('what a child that failed left behind ends with its run', async () => {
  let alive = 0
  const callback = fromCallback(() => {
    alive++
    return () => void alive--
  })
  const middle = setup({ actors: { callback } }).createMachine({
    id: 'middle',
    invoke: { src: 'callback', id: 'left' },
    on: { fail: { actions: throwing } },
  })
  const machine = setup({ actors: { middle } }).createMachine({
    id: 'm',
    initial: 'a',
    states: {
      a: {
        invoke: { src: 'middle', id: 'middle', onError: 'b' },
        on: { fail: { actions: sendTo('middle', { type: 'fail' }) } },
      },
      b: {},
    },
  })
  const store = await createHookedStore()
  const runtime = store.open([machine])
  const run = await runtime.start(machine, { id: 'x' })
  await run.send({ type: 'fail' })
  await run.waitFor('b')
  await runtime.close()
  assert.equal(alive, 0)
})

test('the outcome of a step of a deleted run is not that of another run under the same id', async () => {
  const outcomes: PromiseWithResolvers<string>[] = []
  const machine = setup({
    types: { context: {} as { readonly who: string; readonly paid: string }, input: {} as string, output: {} as string },
    actors: {
      charge: fromStep<string, string>(() => {
        const outcome = Promise.withResolvers<string>()
        outcomes.push(outcome)
        return outcome.promise
      }),
    },
  }).createMachine({
    id: 'm',
    context: ({ input }) => ({ who: input, paid: '' }),
    initial: 'a',
    states: {
      a: {
        invoke: {
          src: 'charge',
          input: ({ context }) => context.who,
          onDone: { target: 'b', actions: assign({ paid: ({ event }) => event.output }) },
        },
      },
      b: { type: 'final' },
    },
    output: ({ context }) => context.paid,
  })
  const store = await createHookedStore()
  const runtime = store.open([machine])
  await runtime.start(machine, { id: 'x', input: 'alice' })
  while (outcomes.length < 1) await pause(1)
  await runtime.delete('x')
  await pause(2)
  const run = await runtime.start(machine, { id: 'x', input: 'bob' })
  while (outcomes.length < 2) await pause(1)
  outcomes[0]?.resolve('charged alice')
  outcomes[1]?.resolve('charged bob')
  assert.equal(await run.done(), 'charged bob')
  await runtime.close()
})

test('a fault while a run is loaded leaves nothing of it in memory', async () => {
  let ticks = 0
  const machine = setup({
    actors: {
      clock: fromCallback(() => {
        const handle = setInterval(() => ticks++, 5)
        return () => clearInterval(handle)
      }),
    },
  }).createMachine({ id: 'm', invoke: { src: 'clock' } })
  const store = await createHookedStore()
  const first = store.open([machine])
  await first.start(machine, { id: 'x' })
  await first.close()
  let faults = 0
  const second = store.open(
    [machine],
    {
      read(key) {
        if (key === 'i/x/' && faults++ === 0) throw new Error('EIO')
      },
    },
    false,
  )
  ticks = 0
  await assert.rejects(second.get('x').send({ type: 'any' }), { message: 'EIO' })
  await pause(30)
  assert.equal(ticks, 0)
  await second.get('x').send({ type: 'any' })
  await second.close()
})

test('an event that ended the run, sent again with its id, has been taken; a bad one beside good ones is refused alone', async () => {
  const machine = setup({ types: { context: {} as { readonly kept: unknown; readonly n: number } } }).createMachine({
    id: 'm',
    context: { kept: undefined, n: 0 },
    initial: 'a',
    states: {
      a: {
        on: {
          bad: { actions: assign({ kept: () => () => 'a function' }) },
          add: { actions: assign({ n: ({ context }) => context.n + 1 }) },
          end: 'b',
        },
      },
      b: { type: 'final' },
    },
  })
  const store = await createHookedStore()
  const runtime = store.open([machine])
  const run = await runtime.start(machine, { id: 'x' })
  const [bad, ...good] = await Promise.allSettled([
    run.send({ type: 'bad' }, { id: '1' }),
    run.send({ type: 'add' }, { id: '2' }),
    run.send({ type: 'add' }, { id: '3' }),
  ])
  assert.equal(bad.status, 'rejected')
  assert.deepEqual(
    good.map(({ status }) => status),
    ['fulfilled', 'fulfilled'],
  )
  assert.equal((await run.snapshot()).context.n, 2)
  await Promise.all([run.send({ type: 'end' }, { id: '4' }), run.send({ type: 'end' }, { id: '4' })])
  await run.send({ type: 'end' }, { id: '4' })
  await rejectsWith(run.send({ type: 'end' }, { id: '5' }), 'RUN_ENDED')
  await assert.rejects(run.cancel(42 as never), TypeError)
  await runtime.close()
})
