/** A runtime inside of a host app: it shares the process with others, lets go of everything, and never keeps or ends the process by surprise. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { fromStep, isPerdureError, type Runtime } from 'perdure'
import { assign, fromCallback, fromPromise, setup } from 'xstate'
import { createMachineRoom, type MachineRoom, rejectsWith } from '../support/machine-room.ts'
import { eventually } from '../support/processes.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

const createCounter = () =>
  setup({
    types: { context: {} as { readonly n: number }, events: {} as { type: 'add' } | { type: 'end' } },
  }).createMachine({
    id: 'counter',
    context: { n: 0 },
    initial: 'open',
    states: {
      open: {
        on: { add: { actions: assign({ n: ({ context }) => context.n + 1 }) }, end: 'ended' },
        after: { 3600000: 'ended' },
      },
      ended: { type: 'final' },
    },
  })

/** A machine with everything in flight that there is, and what its effects were told. */
const createBusy = (said: string[], hang = true) =>
  setup({
    types: { context: {} as { readonly key: string } },
    actors: {
      step: fromStep(({ key, attempt, signal }) => {
        said.push(`step ${attempt}`)
        signal.addEventListener('abort', () => said.push(`step ${attempt} aborted`))
        return hang ? new Promise<string>(() => {}) : Promise.resolve(key)
      }),
      promise: fromPromise(({ signal }) => {
        signal.addEventListener('abort', () => said.push('promise aborted'))
        return new Promise<void>(() => {})
      }),
      callback: fromCallback(() => () => void said.push('callback ended')),
    },
  }).createMachine({
    id: 'busy',
    context: { key: '' },
    initial: 'working',
    states: {
      working: {
        invoke: [
          { src: 'step', id: 'step', onDone: { target: 'done', actions: assign({ key: ({ event }) => event.output }) } },
          { src: 'promise', id: 'promise' },
          { src: 'callback', id: 'callback' },
        ],
        after: { 3600000: 'done' },
      },
      done: { type: 'final' },
    },
    output: ({ context }) => context.key,
  })

/** What is attached to the process, by event. */
const listeners = (): Record<string, number> =>
  Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)]))

/** The names and well-known symbols of the global object. */
const globals = (): string[] =>
  Reflect.ownKeys(globalThis)
    .map(String)
    .filter((name) => name !== 'Symbol(perdure.openStores)')
    .toSorted()

describe('a runtime in a host app', () => {
  let room: MachineRoom
  before(async () => {
    room = await createMachineRoom()
  })
  after(() => room.remove())

  test('several of them live side by side, with the same machine and the same run ids', async () => {
    const machine = createCounter()
    const directories = Array.from({ length: 4 }, () => room.directory())
    const runtimes = await Promise.all(directories.map((directory) => room.open(directory, [machine])))
    const runs = await Promise.all(runtimes.map((runtime) => runtime.start(machine, { id: 'x' })))
    await Promise.all(
      runs.map(async (run, index) => {
        for (let n = 0; n <= index; n++) await run.send({ type: 'add' }, { id: `e${n}` })
      }),
    )
    const counts = (those: readonly Runtime[]) =>
      Promise.all(those.map(async (runtime) => (await runtime.get<typeof machine>('x').snapshot()).context.n))
    assert.deepEqual(await counts(runtimes), [1, 2, 3, 4])

    const [first, ...others] = runtimes
    await first?.close()
    await Promise.all(others.map((runtime) => runtime.get<typeof machine>('x').send({ type: 'add' })))
    await others[0]?.delete('x')
    assert.deepEqual(await counts(others.slice(1)), [4, 5])
    await Promise.all(others.map((runtime) => runtime.close()))

    const again = await Promise.all(directories.map((directory) => room.open(directory, [machine])))
    assert.deepEqual(await counts(again.filter((_, index) => index !== 1)), [1, 4, 5])
    await rejectsWith(again[1]?.get('x').snapshot() ?? Promise.resolve(), 'RUN_NOT_FOUND')
    await Promise.all(again.map((runtime) => runtime.close()))
    for (const [index, runtime] of runtimes.entries())
      assert.ok(
        runtime.events.every((event) => event.type === 'machine.started'),
        `${index}`,
      )
  })

  test('leaves no listener on the process and nothing on the global object but the table of open stores', async () => {
    // Once before: what is imported late, and what Node does at first use, is not the runtime's.
    for (const round of [1, 2]) {
      const before = { listeners: listeners(), globals: globals() }
      const machine = createBusy([])
      const runtime = await room.open(room.directory(), [machine], { inspect: () => {} })
      await runtime.start(machine, { id: 'x' })
      const during = listeners()
      await runtime.close()
      if (round === 1) continue
      assert.deepEqual(during, before.listeners, 'while it is open')
      assert.deepEqual({ listeners: listeners(), globals: globals() }, before)
    }
    const table = (globalThis as { [key: symbol]: unknown })[Symbol.for('perdure.openStores')]
    assert.ok(table instanceof Set)
  })

  test('close aborts the effects in flight, which are in doubt: the next opening makes a second attempt', async () => {
    const directory = room.directory()
    const said: string[] = []
    const machine = createBusy(said)
    const first = await room.open(directory, [machine])
    await first.start(machine, { id: 'x' })
    await eventually('the step is executed', () => said.includes('step 1'))
    await first.close()
    assert.deepEqual(said.toSorted(), ['callback ended', 'promise aborted', 'step 1', 'step 1 aborted'])

    const second = await room.open(directory, [createBusy(said, false)])
    assert.equal(await second.get('x').done(), 'x#step#1')
    const started = second.events.filter(({ type }) => type === 'call.started')
    assert.deepEqual(
      started.map((event) => event.type === 'call.started' && [event.attempt, event.inDoubt]),
      [[2, true]],
    )
    await second.close()
  })

  test('what was sent before close is on disk if it resolved; the others are told why; none hangs', async () => {
    const directory = room.directory()
    const machine = createCounter()
    const first = await room.open(directory, [machine], { passivate: { maxIdle: 3 } })
    const ids = Array.from({ length: 20 }, (_, index) => `r${index}`)
    const runs = await Promise.all(ids.map((id) => first.start(machine, { id })))
    let acknowledged = 0
    const outcomes = Promise.allSettled(
      Array.from({ length: 200 }, (_, index) => runs[index % 20]?.send({ type: 'add' }, { id: `e${index}` })),
    )
    const chained = Promise.allSettled(
      runs.map(async (run, index) => {
        for (let n = 0; n < 1_000; n++) {
          await run.send({ type: 'add' }, { id: `c${index}/${n}` })
          acknowledged++
        }
      }),
    )
    await eventually('some are acknowledged', () => acknowledged > 50)
    await first.close()
    const settled = await outcomes
    for (const outcome of [...settled, ...(await chained)])
      if (outcome.status === 'rejected')
        assert.ok(isPerdureError(outcome.reason, 'STORE_CLOSED'), `rejected with ${String(outcome.reason)}`)
    assert.ok((await chained).some(({ status }) => status === 'rejected'))
    const taken = settled.filter(({ status }) => status === 'fulfilled').length + acknowledged

    const second = await room.open(directory, [machine])
    let found = 0
    for (const id of ids) found += (await second.get<typeof machine>(id).snapshot()).context.n
    assert.ok(found >= taken, `${found} events were found, ${taken} acknowledged`)
    await second.close()
  })

  test('who waits when it closes is told so', async () => {
    const machine = createCounter()
    const runtime = await room.open(room.directory(), [machine])
    const run = await runtime.start(machine, { id: 'x' })
    const waits = [
      run.done(),
      run.waitFor('ended'),
      run.waitFor(() => false),
      runtime.start(machine, { id: 'y' }).then((other) => other.done()),
    ].map((wait) => rejectsWith(wait, 'STORE_CLOSED'))
    await Promise.all([...waits, runtime.close()])
    for (const after of [
      () => run.send({ type: 'add' }),
      () => run.snapshot(),
      () => run.cancel(),
      () => run.done(),
      () => runtime.start(machine, { id: 'z' }),
      () => runtime.delete('x'),
    ])
      await rejectsWith(after(), 'STORE_CLOSED')
  })

  test('close twice is one close, at once and later', async () => {
    const machine = createCounter()
    const directory = room.directory()
    const runtime = await room.open(directory, [machine])
    await runtime.start(machine, { id: 'x' })
    await Promise.all([runtime.close(), runtime.close(), runtime[Symbol.asyncDispose]()])
    await runtime.close()
    const again = await room.open(directory, [machine])
    await runtime.close()
    assert.equal((await again.get<typeof machine>('x').snapshot()).value, 'open', 'it is not the other’s store that was closed')
    await again.close()
  })

  test('close while runs are brought into memory waits for them and loses nothing', async () => {
    const directory = room.directory()
    const said: string[] = []
    const machine = createBusy(said)
    const first = await room.open(directory, [machine])
    const ids = Array.from({ length: 50 }, (_, index) => `r${index}`)
    await Promise.all(ids.map((id) => first.start(machine, { id })))
    await first.close()
    for (const turns of [0, 1, 3, 10, 30]) {
      const runtime = await room.open(directory, [machine], { resumeConcurrency: 4 })
      const asked = ids.slice(0, 10).map((id) => runtime.get(id).snapshot())
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
      const closing = runtime.close()
      for (const outcome of await Promise.allSettled(asked))
        if (outcome.status === 'rejected')
          assert.ok(isPerdureError(outcome.reason, 'STORE_CLOSED'), `rejected with ${String(outcome.reason)}`)
      await closing
      assert.deepEqual(
        runtime.events.filter(({ type }) => type === 'run.blocked'),
        [],
      )
    }
    const last = await room.open(directory, [createBusy(said, false)])
    for (const id of ids) assert.equal(await last.get(id).done(), `${id}#step#1`)
    await last.close()
  })

  test('close in a listener of a run, of the runtime and of the inspection', async () => {
    for (const where of ['snapshot', 'runtime', 'inspection']) {
      const machine = createCounter()
      const directory = room.directory()
      const closed = Promise.withResolvers<void>()
      const runtime = await room.open(directory, [machine])
      const close = (): void => closed.resolve(runtime.close())
      const run = await runtime.start(machine, { id: 'x' })
      if (where === 'snapshot') run.subscribe(close)
      if (where === 'runtime') runtime.subscribe(({ type }) => type === 'machine.completed' && close())
      if (where === 'inspection') runtime.inspect(({ type }) => type === '@xstate.event' && close())
      const sent = await run.send({ type: where === 'runtime' ? 'end' : 'add' }).catch((error: unknown) => error)
      await closed.promise
      const again = await room.open(directory, [machine])
      const { value, context } = await again.get<typeof machine>('x').snapshot()
      assert.equal(sent, undefined, where)
      assert.deepEqual([value, context.n], where === 'runtime' ? ['ended', 0] : ['open', 1], where)
      await again.close()
    }
  })

  test('`signal` gives up waiting for close, which goes on', async () => {
    const directory = room.directory()
    const machine = createCounter()
    const runtime = await room.open(directory, [machine])
    const run = await runtime.start(machine, { id: 'x' })
    const sent = run.send({ type: 'add' })
    await rejectsWith(runtime.close({ signal: AbortSignal.abort(new Error('enough')) }), 'ABORTED')
    await runtime.close({ signal: new AbortController().signal })
    await sent
    const again = await room.open(directory, [machine])
    assert.equal((await again.get<typeof machine>('x').snapshot()).context.n, 1)
    await again.close()
  })

  test('`signal` gives up opening, and the directory is free', async () => {
    const directory = room.directory()
    await rejectsWith(room.open(directory, [], { signal: AbortSignal.abort() }), 'ABORTED')
    const controller = new AbortController()
    const opening = room.open(directory, [], { signal: controller.signal })
    controller.abort()
    await rejectsWith(opening, 'ABORTED')
    const runtime = await room.open(directory, [], { signal: new AbortController().signal })
    await runtime.close()
  })

  test('the same code is there for `import` and `require`', async () => {
    const required = createRequire(import.meta.url)('perdure') as typeof import('perdure')
    const imported = await import('perdure')
    assert.equal(required.openRuntime, imported.openRuntime)
    assert.deepEqual(Object.keys(required).toSorted(), Object.keys(imported).toSorted())
  })

  /** What the host apps of the tests below have; `b` has everything in flight that there is. */
  const prelude = `
    import { buildAgent, fromStep, openRuntime } from 'perdure'
    import { scriptedModel } from 'perdure/testing'
    import { fromCallback, fromPromise, setup } from 'xstate'
    const forever = () => new Promise(() => {})
    const machine = setup({ actors: { promise: fromPromise(forever), step: fromStep(forever), callback: fromCallback(() => {}) } }).createMachine({
      id: 'machine',
      initial: 'a',
      states: {
        a: { on: { go: 'b', wait: 'timed', soon: 'soon' } },
        timed: { after: { 3600000: 'a', 5000000000: 'b' } },
        soon: { after: { 20: 'rung' } },
        rung: { entry: () => console.log('rung') },
        b: { invoke: [{ src: 'promise' }, { src: 'step' }, { src: 'callback' }] },
      },
    })
    const listeners = () => process.eventNames().map((name) => String(name) + process.listenerCount(name)).join()
    const before = listeners()
    let isListening = ''
    process.on('exit', (code) => console.log('exit', code))
    const start = async (runtime, id, type) => {
      const run = await runtime.start(machine, { id })
      if (type !== undefined) await run.send({ type })
      isListening = listeners().replace(/,?exit1/, '') === before ? '' : listeners()
      return run
    }
    const ask = (runtime) => {
      const agent = buildAgent({ name: 'agent', systemPrompt: '', model: 'm' }, { model: scriptedModel([{ fault: 'hang' }, { fault: 'hang' }]) })
      const session = runtime.durable(agent).session('chat').run('Hi')
      const flow = runtime.flow('flow', (_, { step }) => step('slow', forever)).run({})
      for (const one of [session, flow]) one.catch((error) => console.log(error.code))
      return new Promise((resolve) => setTimeout(resolve, 20))
    }
  `
  /** Runs a host app to its end, which it comes to by itself. */
  const runApp = async (directory: string, code: string) => {
    const open = `await openRuntime({ directory: ${JSON.stringify(directory)}, machines: [machine], log: 'pretty' })`
    const program = `${prelude}\n const runtime = ${open}\n ${code}\n console.log('ready' + isListening)`
    const args = ['--conditions=perdure/source', '--input-type=module', '--eval', program]
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, timeout: 20_000 })
    return stdout.trim().split('\n')
  }
  const readState = async (directory: string, ids: readonly string[]): Promise<unknown[]> => {
    const timed = { after: { 3600000: 'a', 5000000000: 'a' } }
    const release = setup({}).createMachine({ id: 'machine', initial: 'a', states: { a: {}, timed, rung: {}, b: {} } })
    const runtime = await room.open(directory, [release], { autoResume: false })
    const values: unknown[] = []
    // The children of `b` are not there: a run in it is parked.
    for (const id of ids)
      values.push(
        await runtime
          .get(id)
          .snapshot()
          .then(
            ({ value }) => value,
            (error) => error.code,
          ),
      )
    await runtime.close()
    return values
  }

  test('a process that closes it ends by itself, whatever was in flight', async () => {
    const directory = room.directory()
    const said = await runApp(
      directory,
      `await start(runtime, 'x')
      await start(runtime, 'timed', 'wait')
      await start(runtime, 'busy', 'go')
      await ask(runtime)
      await runtime.close()`,
    )
    assert.deepEqual(said.toSorted(), ['ABORTED', 'ABORTED', 'exit 0', 'ready'])
    assert.deepEqual(await readState(directory, ['x', 'timed', 'busy']), ['a', 'timed', 'RUN_INCOMPATIBLE'])
  })

  test('a process that does not close it ends when its code has, unless a deadline is ahead; what it was told is on disk', async () => {
    const directory = room.directory()
    const said = await runApp(directory, `await start(runtime, 'x'); await start(runtime, 'busy', 'go'); await ask(runtime)`)
    assert.deepEqual(said, ['ready', 'exit 0'])
    assert.deepEqual(await readState(directory, ['x', 'busy']), ['a', 'RUN_INCOMPATIBLE'])
  })

  test('a deadline keeps the process, as in XState, until it has come; then what it led to is on disk', async () => {
    const directory = room.directory()
    assert.deepEqual(await runApp(directory, `await start(runtime, 'x', 'soon')`), ['ready', 'rung', 'exit 0'])
    assert.deepEqual(await readState(directory, ['x']), ['rung'])
  })
})
