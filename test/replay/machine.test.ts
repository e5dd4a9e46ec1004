/** The run of a machine replayed: it is given what it took then, and does nothing outside. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  fromStep,
  type MachineEntry,
  openLevelStore,
  openMemoryStore,
  openRuntime,
  type Runtime,
  type StepArguments,
  sendToRun,
} from 'perdure'
import { scriptedModel, type TestClock, testClock } from 'perdure/testing'
import { type AnyStateMachine, assign, enqueueActions, fromCallback, fromPromise, sendParent, sendTo, setup } from 'xstate'
import type { Divergence } from '../../src/replay/divergence.ts'
import { type RunRecording, readRecording } from '../../src/replay/recording.ts'
import { type ReplayOptions, replayRun } from '../../src/replay/replay-run.ts'
import { createMachineRoom } from '../support/machine-room.ts'
import { addTool, noModel } from '../support/recorded-run.ts'
import { testAgent } from '../support/runtime-room.ts'

/** Plays with machines in memory and a clock that is moved by hand, and reads what was recorded of the run `x`. */
async function record(
  machines: readonly MachineEntry[],
  play: (runtime: Runtime, clock: TestClock) => Promise<unknown>,
): Promise<RunRecording> {
  const store = await openMemoryStore()
  const clock = testClock()
  const runtime = await openRuntime({ store, machines, clock, log: 'silent' })
  try {
    await play(runtime, clock)
    return await readRecording(store, 'x')
  } finally {
    await runtime.close()
  }
}

const replay = (recording: RunRecording, machine: AnyStateMachine, options: ReplayOptions = {}) =>
  replayRun(recording, { machines: [machine], ...options })

const toLines = (divergences: readonly Divergence[]): string[] => divergences.map(({ kind, text }) => `${kind}: ${text}`)

async function assertEqual(recording: RunRecording, machine: AnyStateMachine): Promise<void> {
  const { identical, divergences, output, recordedOutput } = await replay(recording, machine)
  assert.deepEqual(toLines(divergences), [])
  assert.deepEqual([identical, output], [true, recordedOutput])
}

async function assertStops(recording: RunRecording, machine: AnyStateMachine, message: RegExp): Promise<void> {
  await assert.rejects(replay(recording, machine), { code: 'REPLAY_DIVERGED', message })
}

test('a delay that was set late in a slow transition is not shorter for that, and a replay is equal', async () => {
  let slow: () => void = () => {}
  const machine = setup({ types: { events: {} as { type: 'go' } } }).createMachine({
    id: 'slow',
    initial: 'idle',
    states: {
      idle: { on: { go: { target: 'waiting', actions: () => slow() } } },
      waiting: { after: { 1000: 'up' } },
      up: { type: 'final' },
    },
  })
  const recording = await record([machine], async (runtime, clock) => {
    slow = () => clock.set(clock.now() + 400)
    const run = await runtime.start(machine, { id: 'x' })
    await run.send({ type: 'go' })
    await clock.advance(999)
    assert.equal((await run.snapshot()).value, 'waiting')
    await clock.advance(1)
    await run.done()
    slow = () => {}
  })
  await assertEqual(recording, machine)
})

interface OrderChange {
  readonly limit?: number
  readonly delayMs?: number
  readonly fee?: number
  readonly isDeaf?: boolean
  readonly mark?: string
  readonly isThorough?: boolean
}

/** Counts what it does outside. */
function createOrder({ limit = 10, delayMs = 1_000, fee = 0, isDeaf = false, mark = '', isThorough = false }: OrderChange = {}) {
  const outside: string[] = []
  const machine = setup({
    types: {
      context: {} as { readonly items: readonly number[]; readonly paid: string | undefined },
      events: {} as { type: 'add'; price: number } | { type: 'pay' } | { type: 'nudge' },
      input: {} as { readonly first: number },
      output: {} as { readonly paid: string | undefined; readonly items: readonly number[] },
    },
    actors: {
      charge: fromStep(({ input }: StepArguments<number>) => {
        outside.push(`charge ${input}`)
        return `paid ${input}`
      }),
      check: fromStep(() => void outside.push('check')),
    },
    delays: { patience: delayMs },
  }).createMachine({
    id: 'order',
    context: ({ input: { first } }) => ({ items: [first], paid: undefined }),
    initial: 'open',
    states: {
      open: {
        on: {
          add: {
            guard: ({ context, event }) => context.items.length + event.price <= limit,
            actions: assign({ items: ({ context, event }) => [...context.items, event.price] }),
            target: 'filled',
          },
        },
      },
      filled: { on: { ...(isDeaf ? {} : { nudge: 'waiting' as const }), pay: 'paying' } },
      waiting: { after: { patience: 'paying' } },
      paying: {
        invoke: {
          src: 'charge',
          input: ({ context }) => context.items.reduce((sum, price) => sum + price, fee),
          onDone: { target: isThorough ? 'checking' : 'done', actions: assign({ paid: ({ event }) => event.output + mark }) },
        },
      },
      ...(isThorough ? { checking: { invoke: { src: 'check' as const, onDone: 'done' as const } } } : {}),
      done: { type: 'final' },
    },
    output: ({ context: { paid, items } }) => ({ paid, items }),
  })
  return { machine, outside }
}

const playOrder = () =>
  record([createOrder().machine], async (runtime, clock) => {
    const run = await runtime.start<ReturnType<typeof createOrder>['machine']>('order', { id: 'x', input: { first: 1 } })
    await run.send({ type: 'add', price: 5 }, { id: 'click' })
    await run.send({ type: 'add', price: 5 }, { id: 'click' })
    await run.send({ type: 'nudge' })
    await clock.advance(1_000)
    await run.done()
  })

describe('a replay of a machine', () => {
  test('of the same code comes to the same, and does nothing outside', async () => {
    const recording = await playOrder()
    const { machine, outside } = createOrder()
    await assertEqual(recording, machine)
    assert.deepEqual(outside, [])
    assert.deepEqual(recording.output, { paid: 'paid 6', items: [1, 5] })
    const names = recording.machine?.taken?.map(({ name }) => name)
    assert.deepEqual(names, ['start', 'event', 'event', 'timer', 'step'])
  })

  test('names the event with which a guard that was changed leads elsewhere', async () => {
    const recording = await playOrder()
    const { machine } = createOrder({ limit: 3 })
    await assertStops(recording, machine, /event 1 of run `x` \(`add`\) leads to the state `"open"` instead of `"filled"`/)
  })

  test('names a delay that was changed, where it is set', async () => {
    const recording = await playOrder()
    const { machine } = createOrder({ delayMs: 2_000 })
    await assertStops(recording, machine, /event 2 of run `x` \(`nudge`\) leads to a delayed event that has another delay/)
    const { divergences } = await replay(recording, machine, { onMiss: 'live' })
    assert.deepEqual(
      divergences.map(({ kind, changed }) => [kind, ...changed]),
      [
        ['changed', 'delay'],
        ['changed', 'delay'],
      ],
    )
  })

  test('names an event that the machine takes no more', async () => {
    const recording = await playOrder()
    const { machine } = createOrder({ isDeaf: true })
    await assertStops(recording, machine, /event 2 of run `x` \(`nudge`\) leads to the state `"filled"` instead of `"waiting"`/)
    const { divergences } = await replay(recording, machine, { onMiss: 'live' })
    assert.deepEqual(
      divergences.map(({ kind, place }) => [kind, place].join(' ')),
      [
        'state machine/taken/000000002',
        'unused machine/taken/000000003',
        'unused 0.order.paying#1',
        'unused 0.order.paying#1',
        'result ',
      ],
    )
  })

  test('names a step that is given something else', async () => {
    const recording = await playOrder()
    const { machine, outside } = createOrder({ fee: 2 })
    await assertStops(recording, machine, /of run `x` is asked in another way \(input\)/)
    assert.deepEqual(outside, [])
  })

  test('tells which parts of its context and output are others', async () => {
    const recording = await playOrder()
    const { machine } = createOrder({ mark: '!' })
    const { divergences } = await replay(recording, machine)
    assert.deepEqual(toLines(divergences), ['result: run `x` comes to something else: `context.paid`, `output.paid`'])
    assert.deepEqual(divergences[0]?.replayed, { 'context.paid': 'paid 6!', 'output.paid': 'paid 6!' })
  })

  test('stops at a step that is not in the recording, which only `live` executes', async () => {
    const recording = await playOrder()
    const { machine, outside } = createOrder({ isThorough: true })
    await assertStops(recording, machine, /`.+` of run `x` \(step `check`\) is not in the recording/)
    assert.deepEqual(outside, [])
    const { divergences } = await replay(recording, machine, { onMiss: 'live' })
    assert.deepEqual(outside, ['check'])
    assert.equal(divergences[0]?.kind, 'missing')
  })

  test('of one that failed or was cancelled, or goes on, comes as far as that came', async () => {
    const { machine } = createOrder()
    for (const end of ['cancel', 'none'] as const) {
      const recording = await record([machine], async (runtime) => {
        const run = await runtime.start(machine, { id: 'x', input: { first: 1 } })
        await run.send({ type: 'add', price: 2 })
        await run.send({ type: 'nudge' })
        if (end === 'cancel') await run.cancel('Enough')
      })
      assert.equal(recording.status, end === 'cancel' ? 'cancelled' : 'running')
      await assertEqual(recording, machine)
    }
    const throwing = setup({}).createMachine({
      id: 'throwing',
      on: {
        go: {
          actions: () => {
            throw new RangeError('Too far')
          },
        },
      },
    })
    const failed = await record([throwing], async (runtime) => {
      const run = await runtime.start(throwing, { id: 'x' })
      await run.send({ type: 'go' }).catch(() => {})
    })
    assert.equal(failed.status, 'failed')
    await assertEqual(failed, throwing)
  })

  test('sends what led to nothing too: today it may lead somewhere', async () => {
    const deaf = createOrder({ isDeaf: true }).machine
    const recording = await record([deaf], async (runtime) => {
      const run = await runtime.start(deaf, { id: 'x', input: { first: 1 } })
      await run.send({ type: 'add', price: 2 })
      await run.send({ type: 'nudge' })
      await run.send({ type: 'pay' })
      await run.done()
    })
    await assertEqual(recording, deaf)
    await assertStops(recording, createOrder().machine, /event 2 of run `x` \(`nudge`\) leads to the state `"waiting"`/)
  })
})

describe('what a replay gives a machine', () => {
  test('is for each of its actors: children, spawned ones, promises, callbacks, in parallel', async () => {
    const started: string[] = []
    const child = setup({
      types: { context: {} as { readonly n: number }, events: {} as { type: 'count' } },
    }).createMachine({
      id: 'child',
      context: { n: 0 },
      after: { 50: { actions: sendParent(({ context }) => ({ type: 'told', n: context.n })) } },
      on: { count: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
    })
    const machine = setup({
      types: { context: {} as { readonly log: readonly unknown[] } },
      actors: {
        child,
        load: fromPromise(async () => {
          started.push('load')
          return { loaded: new Date(0) }
        }),
        refuse: fromPromise(async (): Promise<string> => {
          started.push('refuse')
          throw new RangeError('Too far')
        }),
        watch: fromCallback<{ type: 'ping' }>(({ sendBack, receive }) => {
          started.push('watch')
          sendBack({ type: 'seen', what: 'at once' })
          receive(({ type }) => sendBack({ type: 'seen', what: type }))
        }),
        breaks: fromCallback(() => {
          started.push('breaks')
          throw new TypeError('It cannot start')
        }),
      },
    }).createMachine({
      id: 'x',
      context: { log: [] },
      type: 'parallel',
      entry: [
        ({ self }) => self.send({ type: 'seen', what: 'itself' }),
        assign(({ spawn, context }) => {
          spawn('child', { id: 'spawned' })
          return context
        }),
      ],
      on: {
        '*': { actions: assign({ log: ({ context, event }) => [...context.log, 'what' in event ? event.what : event.type] }) },
      },
      states: {
        a: {
          initial: 'loading',
          states: {
            loading: { invoke: { src: 'load', onDone: 'refusing' } },
            refusing: { invoke: { src: 'refuse', onDone: 'over', onError: 'breaking' } },
            breaking: { invoke: { src: 'breaks', onError: 'over' } },
            over: {},
          },
        },
        b: {
          invoke: [
            { src: 'watch', id: 'watch' },
            { src: 'child', id: 'child' },
          ],
          on: {
            ping: { actions: [sendTo('watch', { type: 'ping' }), sendTo('child', { type: 'count' })] },
          },
        },
      },
    })
    const recording = await record([machine], async (runtime, clock) => {
      const run = await runtime.start(machine, { id: 'x' })
      await run.waitFor({ a: 'over' } as never)
      await run.send({ type: 'ping' })
      await clock.advance(60)
    })
    const { context } = recording.machine?.state ?? {}
    assert.deepEqual((context as { log: unknown[] }).log.sort(), ['at once', 'itself', 'ping', 'told', 'told'])
    started.length = 0
    await assertEqual(recording, machine)
    assert.deepEqual(started, [])
  })

  test('is the messages of other runs', async () => {
    const machine = setup({
      types: {
        context: {} as { readonly to: string; readonly taken: readonly number[] },
        input: {} as { readonly to: string },
        events: {} as { type: 'token'; n: number },
      },
    }).createMachine({
      id: 'member',
      context: ({ input: { to } }) => ({ to, taken: [] }),
      on: {
        token: {
          actions: [
            assign({ taken: ({ context, event }) => [...context.taken, event.n] }),
            enqueueActions(({ context, event, enqueue }) => {
              if (event.n < 6) enqueue(sendToRun(context.to, { type: 'token', n: event.n + 1 }))
            }),
          ],
        },
      },
    })
    const recording = await record([machine], async (runtime) => {
      const run = await runtime.start(machine, { id: 'x', input: { to: 'y' } })
      await runtime.start(machine, { id: 'y', input: { to: 'x' } })
      await run.send({ type: 'token', n: 0 })
      await run.waitFor(({ context }) => context.taken.length === 4)
    })
    await assertEqual(recording, machine)
  })

  test('is what agents in it came to: no model is asked, no tool is executed', async () => {
    const build = (model: Parameters<typeof testAgent>[0]) => {
      const { add, executed } = addTool()
      const agent = testAgent(model, {}, [add])
      const machine = setup({ actors: { helper: agent.machine } }).createMachine({
        id: 'boss',
        initial: 'asking',
        states: {
          asking: { invoke: { src: 'helper', input: { prompt: 'add' }, onDone: 'over' } },
          over: { type: 'final' },
        },
      })
      return { machine, executed }
    }
    const asking = (a: number) => scriptedModel([{ toolCalls: [{ name: 'add', arguments: { a, b: 2 } }] }, 'It is three.'])
    const recorded = build(asking(1))
    const recording = await record([recorded.machine], async (runtime) => {
      await (await runtime.start(recorded.machine, { id: 'x' })).done()
    })
    assert.deepEqual(recorded.executed, ['1 + 2'])
    const { model, calls } = noModel()
    const today = build(model)
    await assertEqual(recording, today.machine)
    assert.deepEqual([calls(), today.executed], [0, []])

    // The model's answer is that of the recording; the arguments are made another by the recording itself.
    const edited: RunRecording = {
      ...recording,
      steps: recording.steps.map((step) =>
        step.kind === 'tool'
          ? { ...step, record: { ...step.record, data: { ...Object(step.record.data), arguments: '{}' } } }
          : step,
      ),
    }
    await assertStops(edited, today.machine, /call_1_0` of run `x` is asked in another way \(arguments\)/)
    assert.deepEqual(today.executed, [])
  })
})

describe('a run of which is not recorded what it took', () => {
  test('is refused, and the error says what to set', async () => {
    const { machine } = createOrder()
    const recording = await record([{ machine, recordInputs: false }], async (runtime) => {
      const run = await runtime.start(machine, { id: 'x', input: { first: 1 } })
      await run.send({ type: 'add', price: 2 })
    })
    assert.deepEqual([recording.machine?.taken, recording.steps], [undefined, []])
    await assert.rejects(replay(recording, machine), { code: 'REPLAY_UNSUPPORTED', message: /Leave `recordInputs` at true/ })
    await assert.rejects(
      record([{ machine, recordInputs: 'no' as never }], async () => {}),
      TypeError,
    )
  })

  test('from some point on is refused too', async () => {
    const { machine } = createOrder()
    const room = await createMachineRoom()
    try {
      const directory = room.directory()
      for (const recordInputs of [true, false, true]) {
        await using runtime = await room.open(directory, [{ machine, recordInputs }])
        const run = await runtime.start(machine, { id: 'x', input: { first: 1 } })
        await run.send({ type: 'add', price: 1 })
        await run.send({ type: 'nudge' })
      }
      const store = await openLevelStore(directory)
      const recording = await readRecording(store, 'x')
      await store.close()
      await assert.rejects(replay(recording, machine), { code: 'REPLAY_UNSUPPORTED' })
    } finally {
      await room.remove()
    }
  })

  test('because it cannot be stored goes on all the same, and its replay is refused with the reason', async () => {
    const machine = setup({
      types: { context: {} as { readonly n: number } },
      actors: { open: fromPromise(async () => ({ read: () => 7 })) },
    }).createMachine({
      id: 'x',
      context: { n: 0 },
      initial: 'opening',
      states: {
        opening: {
          invoke: { src: 'open', onDone: { target: 'over', actions: assign({ n: ({ event }) => event.output.read() }) } },
        },
        over: {},
      },
    })
    const recording = await record([machine], async (runtime) => {
      const run = await runtime.start<AnyStateMachine>(machine, { id: 'x' })
      assert.deepEqual((await run.waitFor('over')).context, { n: 7 })
    })
    await assert.rejects(replay(recording, machine), {
      code: 'REPLAY_UNSUPPORTED',
      message: /event 1 of run `x` is not in the recording. Cannot store the function read/,
    })
  })
})
