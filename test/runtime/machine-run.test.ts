import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { fromStep, isPerdureError, type Runtime, sendToRun } from 'perdure'
import { assign, createActor, emit, fromPromise, setup } from 'xstate'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'

const createCounter = () =>
  setup({
    types: {
      context: {} as { readonly n: number; readonly last: unknown },
      events: {} as
        | { type: 'add'; by?: unknown }
        | { type: 'stop' }
        | { type: 'fail' }
        | { type: 'keep'; what: unknown }
        | { type: 'break' },
      emitted: {} as { type: 'added'; n: number },
      input: {} as { readonly from: number } | undefined,
      output: {} as number,
    },
  }).createMachine({
    id: 'counter',
    context: ({ input }) => ({ n: input?.from ?? 0, last: undefined }),
    initial: 'counting',
    states: {
      counting: {
        tags: 'open',
        on: {
          add: {
            actions: [assign({ n: ({ context }) => context.n + 1 }), emit(({ context }) => ({ type: 'added', n: context.n }))],
          },
          stop: 'stopped',
          keep: { actions: assign({ last: ({ event }) => event.what }) },
          break: { actions: assign({ last: () => () => 'a function' }) },
          fail: {
            actions: () => {
              throw new RangeError('not today')
            },
          },
        },
      },
      stopped: { type: 'final' },
    },
    output: ({ context }) => context.n,
  })

let room: MachineRoom
before(async () => {
  room = await createMachineRoom()
})
after(() => room.remove())
const newDirectory = (): string => room.directory()
const open: MachineRoom['open'] = (...options) => room.open(...options)

test('a run goes on in another process where it was, and its output stays', async () => {
  const directory = newDirectory()
  const machine = createCounter()
  const first = await open(directory, [machine])
  const run = await first.start(machine, { id: 'one', input: { from: 5 } })
  await run.send({ type: 'add' })
  await first.close()

  const again = createCounter()
  const second = await open(directory, [again])
  const same = second.get<typeof again>('one')
  assert.deepEqual((await same.snapshot()).context, { n: 6, last: undefined })
  await same.send({ type: 'add' })
  await same.send({ type: 'stop' })
  assert.equal(await same.done(), 7)
  await second.close()

  const third = await open(directory, [createCounter()])
  assert.equal(await third.get('one').done(), 7)
  await third.close()
})

test('starting an id that there is gives the same run for the same input, and an error for another', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const [a, b] = await Promise.all([
    runtime.start(machine, { id: 'x', input: { from: 1 } }),
    runtime.start(machine, { id: 'x', input: { from: 1 } }),
  ])
  await a.send({ type: 'add' })
  assert.equal((await b.snapshot()).context.n, 2)
  await rejectsWith(runtime.start(machine, { id: 'x', input: { from: 2 } }), 'RUN_CONFLICT')
  await rejectsWith(runtime.start(machine, { id: 'x' }), 'RUN_CONFLICT')
  await runtime.close()
})

test('a run that is asked for by two handles at once is activated once', async () => {
  const directory = newDirectory()
  const machine = createCounter()
  const first = await open(directory, [machine])
  await first.start(machine, { id: 'x' })
  await first.close()
  const second = await open(directory, [machine])
  await Promise.all(Array.from({ length: 20 }, () => second.get('x').send({ type: 'add' })))
  assert.equal((await second.get<typeof machine>('x').snapshot()).context.n, 20)
  await second.close()
})

test('an event with an id is taken once: sent twice at once, later, and in another process', async () => {
  const directory = newDirectory()
  const machine = createCounter()
  const first = await open(directory, [machine])
  const run = await first.start(machine, { id: 'x' })
  await Promise.all([run.send({ type: 'add' }, { id: 'e' }), run.send({ type: 'add' }, { id: 'e' })])
  await run.send({ type: 'add' }, { id: 'e' })
  await run.send({ type: 'add' }, { id: 'f' })
  await first.close()
  const second = await open(directory, [machine])
  await second.get('x').send({ type: 'add' }, { id: 'e' })
  assert.equal((await second.get<typeof machine>('x').snapshot()).context.n, 2)
  await second.close()
})

test('events keep their order, with and without ids', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  const seen: unknown[] = []
  run.subscribe((snapshot) => seen.push(snapshot.context.last))
  await Promise.all(
    Array.from({ length: 20 }, (_, index) => run.send({ type: 'keep', what: index }, index % 3 === 0 ? { id: `e${index}` } : {})),
  )
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, index) => index),
  )
  await runtime.close()
})

test('listeners hear snapshots and emitted events, in order and once', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const heard: unknown[] = []
  const handle = runtime.get<typeof machine>('x')
  const subscription = handle.on('added', ({ n }) => heard.push(n))
  handle.on('*', ({ type }) => heard.push(type))
  const run = await runtime.start(machine, { id: 'x' })
  await run.send({ type: 'add' })
  await run.send({ type: 'add' })
  subscription.unsubscribe()
  await run.send({ type: 'add' })
  assert.deepEqual(heard, [1, 'added', 2, 'added', 'added'])
  await runtime.close()
})

test('waitFor takes a state, a tag, a condition, and gives up when told', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  assert.equal((await run.waitFor('counting')).value, 'counting')
  assert.equal((await run.waitFor('open')).value, 'counting')
  const third = run.waitFor(({ context }) => context.n === 3)
  for (let n = 0; n < 5; n++) await run.send({ type: 'add' })
  assert.equal((await third).context.n, 3)
  await rejectsWith(run.waitFor('stopped', { timeoutMs: 5 }), 'WAIT_TIMEOUT')
  await rejectsWith(run.waitFor('stopped', { signal: AbortSignal.abort() }), 'ABORTED')
  await assert.rejects(
    run.waitFor(() => {
      throw new RangeError('mine')
    }),
    RangeError,
  )
  const stopped = run.waitFor('stopped')
  const never = run.waitFor(({ context }) => context.n === 99)
  await Promise.all([rejectsWith(never, 'RUN_ENDED'), run.send({ type: 'stop' })])
  assert.equal((await stopped).status, 'done')
  await rejectsWith(run.waitFor('counting'), 'RUN_ENDED')
  await runtime.close()
})

test('a machine that throws in an action fails, and says so after a restart too', async () => {
  const directory = newDirectory()
  const machine = createCounter()
  const first = await open(directory, [machine])
  const run = await first.start(machine, { id: 'x' })
  const ended = assert.rejects(run.done(), { message: 'not today' })
  await run.send({ type: 'fail' })
  await ended
  await rejectsWith(run.send({ type: 'add' }), 'RUN_ENDED')
  await first.close()
  const second = await open(directory, [machine])
  await assert.rejects(second.get('x').done(), { message: 'not today' })
  assert.equal((await second.get('x').snapshot()).status, 'error')
  await second.close()
})

test('what cannot be kept is refused with run, state and path, and the run goes on from before', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  await run.send({ type: 'add' })
  await rejectsWith(run.send({ type: 'keep', what: () => 1 }), 'VALUE_NOT_STORABLE')
  await assert.rejects(run.send({ type: 'break' }), (error) => {
    assert.ok(isPerdureError(error, 'VALUE_NOT_STORABLE'))
    assert.match(error.message, /Run `x` in state "counting": .*`context\.last`/)
    assert.deepEqual([error.details.run, error.details.state], ['x', 'counting'])
    return true
  })
  await run.send({ type: 'add' })
  assert.equal((await run.snapshot()).context.n, 2)
  await runtime.close()
})

test('what a machine comes to by itself and cannot be kept ends the run with that error', async () => {
  const asked = Promise.withResolvers<() => string>()
  const machine = setup({ actors: { get: fromPromise(() => asked.promise) } }).createMachine({
    id: 'bad',
    context: { value: undefined as unknown },
    initial: 'getting',
    states: {
      getting: { invoke: { src: 'get', onDone: { target: 'got', actions: assign({ value: ({ event }) => event.output }) } } },
      got: {},
    },
  })
  const runtime = await open(newDirectory(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  asked.resolve(() => 'a function')
  await assert.rejects(run.done(), { code: 'VALUE_NOT_STORABLE' })
  await rejectsWith(run.send({ type: 'x' } as never), 'RUN_ENDED')
  await runtime.close()
})

test('cancel ends the run, aborts what is in flight and keeps the state', async () => {
  const directory = newDirectory()
  const aborted = Promise.withResolvers<void>()
  const create = () =>
    setup({
      actors: {
        work: fromStep<void>(({ signal }) => {
          signal.addEventListener('abort', () => aborted.resolve())
          return new Promise<void>(() => {})
        }),
      },
    }).createMachine({
      id: 'worker',
      initial: 'working',
      states: { working: { invoke: { src: 'work', onDone: 'done' } }, done: {} },
    })
  const machine = create()
  const first = await open(directory, [machine])
  const run = await first.start(machine, { id: 'x' })
  const ended = assert.rejects(run.done(), { code: 'RUN_CANCELLED', message: /no longer needed/ })
  await run.cancel('no longer needed')
  await Promise.all([ended, aborted.promise])
  await rejectsWith(run.send({ type: 'x' } as never), 'RUN_ENDED')
  await rejectsWith(run.cancel(), 'RUN_ENDED')
  assert.equal((await run.snapshot()).value, 'working')
  await first.close()
  const second = await open(directory, [create()])
  await assert.rejects(second.get('x').done(), { code: 'RUN_CANCELLED' })
  await second.close()
})

test('a step that has settled is not executed again, one that was in flight has the same key', async () => {
  const directory = newDirectory()
  const executed: string[] = []
  let hang = true
  const create = () =>
    setup({
      types: { context: {} as { readonly results: readonly string[] } },
      actors: {
        quick: fromStep(({ key, attempt }) => {
          executed.push(`quick ${attempt}`)
          return key
        }),
        slow: fromStep(({ key, attempt }) => {
          executed.push(`slow ${attempt}`)
          return hang ? new Promise<string>(() => {}) : Promise.resolve(key)
        }),
      },
    }).createMachine({
      id: 'stepper',
      context: { results: [] },
      initial: 'one',
      states: {
        one: {
          invoke: {
            id: 'q',
            src: 'quick',
            onDone: { target: 'two', actions: assign({ results: ({ context, event }) => [...context.results, event.output] }) },
          },
        },
        two: {
          invoke: {
            id: 's',
            src: 'slow',
            onDone: { target: 'three', actions: assign({ results: ({ context, event }) => [...context.results, event.output] }) },
          },
        },
        three: { type: 'final' },
      },
      output: ({ context }) => context.results,
    })
  const machine = create()
  const first = await open(directory, [machine])
  const run = await first.start(machine, { id: 'x' })
  await run.waitFor('two')
  while (executed.length < 2) await new Promise(setImmediate)
  await first.close()
  hang = false
  const second = await open(directory, [create()])
  assert.deepEqual(await second.get('x').done(), ['x#q#1', 'x#s#2'])
  assert.deepEqual(executed, ['quick 1', 'slow 1', 'slow 2'])
  await second.close()
})

test('runs send each other events, which survive what happens in between, and are taken in order', async () => {
  const directory = newDirectory()
  const createSender = () =>
    setup({ types: { context: {} as { readonly n: number }, events: {} as { type: 'go' } } }).createMachine({
      id: 'sender',
      context: { n: 0 },
      on: {
        go: {
          actions: [
            assign({ n: ({ context }) => context.n + 1 }),
            sendToRun('receiver', ({ context }) => ({ type: 'got', n: context.n })),
            sendToRun('nobody', { type: 'lost' }),
          ],
        },
      },
    })
  const createReceiver = () =>
    setup({
      types: { context: {} as { readonly got: readonly number[] }, events: {} as { type: 'got'; n: number } },
    }).createMachine({
      id: 'receiver',
      context: { got: [] },
      on: { got: { actions: assign({ got: ({ context, event }) => [...context.got, event.n] }) } },
    })
  const machines = [createSender(), createReceiver()] as const
  const first = await open(directory, machines)
  await first.start(machines[1], { id: 'receiver' })
  const sender = await first.start(machines[0], { id: 'sender' })
  for (let n = 0; n < 5; n++) await sender.send({ type: 'go' })
  await first.close()
  const again = [createSender(), createReceiver()] as const
  const second = await open(directory, again)
  await second.resume()
  const receiver = second.get<(typeof again)[1]>('receiver')
  const { context } = await receiver.waitFor(({ context }) => context.got.length === 5)
  assert.deepEqual(context.got, [1, 2, 3, 4, 5])
  const dropped = [...first.events, ...second.events].filter(({ type }) => type === 'message.dropped')
  assert.equal(dropped.length, 5)
  await second.close()
})

test('without a runtime the same machine sends to the actor of that system id', () => {
  const got: unknown[] = []
  const child = setup({}).createMachine({ id: 'child', on: { '*': { actions: ({ event }) => void got.push(event) } } })
  const machine = setup({ actors: { child } }).createMachine({
    id: 'parent',
    invoke: { src: 'child', systemId: 'friend' },
    on: { go: { actions: sendToRun('friend', { type: 'hello' }) } },
  })
  const actor = createActor(machine).start()
  actor.send({ type: 'go' })
  assert.deepEqual(got, [{ type: 'hello' }])
})

test('an event to a run that does not exist is an error that says so', async () => {
  const runtime = await open(newDirectory(), [createCounter()])
  const none = runtime.get('none')
  await rejectsWith(none.send({ type: 'add' } as never), 'RUN_NOT_FOUND')
  await rejectsWith(none.snapshot(), 'RUN_NOT_FOUND')
  await rejectsWith(none.done(), 'RUN_NOT_FOUND')
  await rejectsWith(none.waitFor('x'), 'RUN_NOT_FOUND')
  await rejectsWith(none.cancel(), 'RUN_NOT_FOUND')
  assert.equal(await runtime.delete('none'), false)
  assert.throws(() => runtime.get(''), { code: 'RUN_ID_INVALID' })
  await assert.rejects(runtime.get('x').send('add' as never), TypeError)
  await assert.rejects(runtime.get('x').send({ type: 'add' } as never, { id: '' }), TypeError)
  await runtime.close()
  await rejectsWith(none.send({ type: 'add' } as never), 'STORE_CLOSED')
})

test('a machine that was not registered is refused, with what to do', async () => {
  const runtime = await open(newDirectory(), [createCounter()])
  const other = setup({}).createMachine({ id: 'other' })
  await rejectsWith(runtime.start(other, { id: 'x' }), 'MACHINE_UNKNOWN')
  await rejectsWith(runtime.start('nobody', { id: 'x' }), 'MACHINE_UNKNOWN')
  await rejectsWith(runtime.start(createCounter(), { id: 'x' }), 'MACHINE_UNKNOWN')
  await runtime.start('counter', { id: 'x' })
  await runtime.close()
})

test('a run whose machine is no longer registered is told of, kept, and can be cancelled', async () => {
  const directory = newDirectory()
  const machine = createCounter()
  const first = await open(directory, [machine])
  await first.start(machine, { id: 'x' })
  await first.close()
  const second = await open(directory, [])
  await rejectsWith(second.get('x').send({ type: 'add' } as never), 'MACHINE_UNKNOWN')
  await second.get('x').cancel()
  const infos = []
  for await (const info of second.runs()) infos.push([info.id, info.status])
  assert.deepEqual(infos, [['x', 'cancelled']])
  await second.close()
})

test('runs are listed by status, machine and page', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  for (let index = 0; index < 25; index++) await runtime.start(machine, { id: `r${String(index).padStart(2, '0')}` })
  for (const id of ['r03', 'r07']) await runtime.get<typeof machine>(id).send({ type: 'stop' })
  const list = async (filter: Parameters<Runtime['runs']>[0]): Promise<string[]> => {
    const ids: string[] = []
    for await (const { id } of runtime.runs(filter)) ids.push(id)
    return ids
  }
  assert.deepEqual(await list({ status: 'completed' }), ['r03', 'r07'])
  assert.equal((await list({ status: 'running', machine: 'counter' })).length, 23)
  assert.deepEqual(await list({ machine: 'other' }), [])
  assert.deepEqual(await list({ after: 'r09', limit: 2 }), ['r10', 'r11'])
  assert.deepEqual(await list({ limit: 0 }), [])
  await runtime.close()
})

test('a run that is deleted is gone, also while it is in memory, and its id is free', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const run = await runtime.start(machine, { id: 'x', input: { from: 3 } })
  await run.send({ type: 'add' }, { id: 'e' })
  const waiting = rejectsWith(run.done(), 'RUN_NOT_FOUND')
  assert.equal(await runtime.delete('x'), true)
  await waiting
  await rejectsWith(run.send({ type: 'add' }), 'RUN_NOT_FOUND')
  const again = await runtime.start(machine, { id: 'x' })
  await again.send({ type: 'add' }, { id: 'e' })
  assert.equal((await again.snapshot()).context.n, 1)
  await runtime.close()
})

test('runs that wait leave memory and come back when they are needed', async () => {
  const machine = createCounter()
  const seen: string[] = []
  const runtime = await open(newDirectory(), [machine], {
    passivate: { afterMs: 60_000, maxIdle: 5 },
    inspect: (event: { type: string; actorRef: { sessionId: string } }) => {
      if (event.type === '@xstate.actor') seen.push(event.actorRef.sessionId)
    },
  })
  for (let index = 0; index < 20; index++) await runtime.start(machine, { id: `r${index}` })
  await runtime.get<typeof machine>('r0').send({ type: 'add' })
  assert.equal((await runtime.get<typeof machine>('r0').snapshot()).context.n, 1)
  assert.equal(seen.filter((id) => id === 'r0').length, 2, 'it was dropped once')
  await runtime.close()
})

test('what is no listener, no options or no filter is refused where it is handed in', async () => {
  const machine = createCounter()
  const runtime = await open(newDirectory(), [machine])
  const run = await runtime.start(machine, { id: 'x' })
  assert.throws(() => run.subscribe({ next: () => {} } as never), TypeError)
  assert.throws(() => run.on('added', undefined as never), TypeError)
  await assert.rejects(run.send({ type: 'add' }, 'e' as never), TypeError)
  await assert.rejects(run.send({ type: 3 } as never), /`type` that is a string, got `3`/)
  await assert.rejects(
    runtime
      .runs({ status: 'nope' as never })
      [Symbol.asyncIterator]()
      .next(),
    TypeError,
  )
  await assert.rejects(
    runtime
      .runs({ machine: machine as never })
      [Symbol.asyncIterator]()
      .next(),
    TypeError,
  )
  await assert.rejects(runtime.start(undefined as never), /Expected a machine/)
  assert.equal((await run.snapshot()).context.n, 0)
  await runtime.close()
})

test('of a run that has ended its result stays, also when its machine has changed beyond its state', async () => {
  const directory = newDirectory()
  const machine = createCounter()
  const first = await open(directory, [machine])
  const run = await first.start(machine, { id: 'x', input: { from: 4 } })
  await run.send({ type: 'stop' })
  await first.close()
  const changed = setup({}).createMachine({ id: 'counter', initial: 'other', states: { other: {} } })
  const second = await open(directory, [changed])
  assert.equal(await second.get('x').done(), 4)
  await rejectsWith(second.get('x').waitFor('other'), 'RUN_ENDED')
  await rejectsWith(second.get('x').snapshot(), 'RUN_INCOMPATIBLE')
  await second.close()
})
