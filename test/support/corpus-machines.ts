/** The machines of the runs in `test/corpus`. Runs that are there go on with this code: it may be added to, not changed. */
import { fromStep, sendToRun } from 'perdure'
import { type AnyStateMachine, assign, fromCallback, fromPromise, sendParent, setup, spawnChild } from 'xstate'

/** When the runs were written. */
export const corpusTime = Date.UTC(2030, 0, 1)
export const DAY = 86_400_000

export interface CorpusCode {
  /** What is in flight when the corpus is written does not settle. */
  readonly hang: boolean
  /** Tells of every execution of an effect. */
  readonly said: string[]
}

/** An error whose stack is the same everywhere. */
function toError(message: string): Error {
  const error = new RangeError(message)
  error.stack = `RangeError: ${message}\n    at corpus`
  return error
}

/** A value of every kind that a snapshot may hold. */
export const createValues = () => {
  const shared = { name: 'shared' }
  return {
    date: new Date(corpusTime),
    map: new Map<unknown, unknown>([
      ['key', { nested: true }],
      [1, new Set(['a', 2n])],
    ]),
    set: new Set([1, 'two', undefined]),
    bigint: 12_345_678_901_234_567_890n,
    negative: -1n,
    error: toError('kept'),
    bytes: new Uint8Array([0, 1, 254, 255]),
    floats: new Float64Array([0.5, -0, Number.NaN]),
    numbers: [Number.NaN, Number.POSITIVE_INFINITY, -0, 2 ** 53, 1e-7],
    nothing: undefined,
    nil: null,
    holes: [undefined, null],
    text: 'ä€𝄞\u0000\ud800',
    pattern: /a+/giu,
    shared: [shared, shared],
    '': { __proto__key: true },
  }
}

export function createCorpusMachines({ hang, said }: CorpusCode) {
  const settle = <T>(value: T): T | Promise<T> => (hang ? new Promise<T>(() => {}) : value)

  const bell = setup({
    types: { context: {} as { readonly name: string }, input: {} as { readonly name: string } },
  }).createMachine({
    id: 'bell',
    context: ({ input }) => input,
    initial: 'silent',
    states: {
      silent: { after: { [10 * DAY]: 'rung' } },
      rung: { entry: sendParent(({ context }) => ({ type: 'rang', name: context.name })) },
    },
  })
  /** Waits with timers, children and every kind of value. */
  const keeper = setup({
    types: {
      context: {} as { readonly values: ReturnType<typeof createValues>; readonly rung: readonly string[] },
      events: {} as { type: 'rang'; name: string },
    },
    actors: { bell, line: fromCallback(() => void said.push('line')) },
  }).createMachine({
    id: 'keeper',
    context: () => ({ values: createValues(), rung: [] }),
    entry: spawnChild('bell', { id: 'spawned', input: { name: 'spawned' } }),
    initial: 'waiting',
    states: {
      waiting: {
        invoke: [
          { src: 'bell', id: 'invoked', systemId: 'bell', input: { name: 'invoked' } },
          { src: 'line', id: 'line' },
        ],
        after: { [30 * DAY]: 'over' },
      },
      over: { type: 'final' },
    },
    on: { rang: { actions: assign({ rung: ({ context, event }) => [...context.rung, event.name] }) } },
    output: ({ context }) => context,
  })

  /** Only waits: for a time that no timeout can. */
  const sleeper = setup({}).createMachine({
    id: 'sleeper',
    initial: 'asleep',
    states: { asleep: { after: { [40 * DAY]: 'awake' } }, awake: { type: 'final' } },
    output: 'awake',
  })

  /** Grows: one base and many deltas. */
  const list = setup({
    types: {
      context: {} as { readonly items: readonly string[]; readonly last: string },
      events: {} as { type: 'add'; item: string } | { type: 'end' },
    },
  }).createMachine({
    id: 'list',
    context: { items: [], last: '' },
    initial: 'open',
    states: {
      open: {
        on: {
          add: { actions: assign(({ context, event }) => ({ items: [...context.items, event.item], last: event.item })) },
          end: 'closed',
        },
      },
      closed: { type: 'final' },
    },
    output: ({ context }) => context.items,
  })

  const sender = setup({
    types: { context: {} as { readonly n: number }, events: {} as { type: 'go' } },
  }).createMachine({
    id: 'sender',
    context: { n: 0 },
    on: {
      go: {
        actions: [
          assign({ n: ({ context }) => context.n + 1 }),
          sendToRun('receiver', ({ context }) => ({ type: 'got', n: context.n, at: new Date(corpusTime) })),
        ],
      },
    },
  })
  const receiver = setup({
    types: { context: {} as { readonly got: readonly number[] }, events: {} as { type: 'got'; n: number; at: Date } },
  }).createMachine({
    id: 'receiver',
    context: { got: [] },
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.got.length === 5, target: 'full' },
        on: {
          got: {
            guard: ({ event }) => event.at.getTime() === corpusTime,
            actions: assign({ got: ({ context, event }) => [...context.got, event.n] }),
          },
        },
      },
      full: { type: 'final' },
    },
    output: ({ context }) => context.got,
  })

  /** One step has settled, one failed, one is in doubt, and a promise is in flight. */
  const stepper = setup({
    types: { context: {} as { readonly results: readonly unknown[] } },
    actors: {
      quick: fromStep(({ key, attempt }) => {
        said.push(`quick ${attempt}`)
        return { key, at: new Date(corpusTime) }
      }),
      broken: fromStep<never>(({ attempt }) => {
        said.push(`broken ${attempt}`)
        throw toError('broken')
      }),
      slow: fromStep(({ key, attempt }) => {
        said.push(`slow ${attempt}`)
        return settle(key)
      }),
      promise: fromPromise(async () => {
        said.push('promise')
        return settle('promised')
      }),
    },
  }).createMachine({
    id: 'stepper',
    context: { results: [] },
    initial: 'quick',
    states: {
      quick: {
        invoke: {
          src: 'quick',
          id: 'quick',
          onDone: { target: 'broken', actions: assign({ results: ({ context, event }) => [...context.results, event.output] }) },
        },
      },
      broken: {
        invoke: {
          src: 'broken',
          id: 'broken',
          onError: {
            target: 'both',
            actions: assign({ results: ({ context, event }) => [...context.results, String(event.error)] }),
          },
        },
      },
      both: {
        type: 'parallel',
        states: {
          step: {
            initial: 'running',
            states: {
              running: {
                invoke: {
                  src: 'slow',
                  id: 'slow',
                  onDone: {
                    target: 'over',
                    actions: assign({ results: ({ context, event }) => [...context.results, event.output] }),
                  },
                },
              },
              over: { type: 'final' },
            },
          },
          promise: {
            initial: 'running',
            states: { running: { invoke: { src: 'promise', id: 'promise', onDone: 'over' } }, over: { type: 'final' } },
          },
        },
        onDone: 'over',
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.results,
  })

  /** Comes to its end as it is told to. */
  const ender = setup({
    types: { events: {} as { type: 'end' } | { type: 'fail' }, input: {} as { readonly big: bigint } },
  }).createMachine({
    id: 'ender',
    initial: 'open',
    states: {
      open: {
        on: {
          end: 'ended',
          fail: {
            actions: () => {
              throw toError('as told')
            },
          },
        },
      },
      ended: { type: 'final' },
    },
    output: () => ({ at: new Date(corpusTime), map: new Map([['a', 1n]]) }),
  })

  return { keeper, sleeper, list, sender, receiver, stepper, ender }
}

/** A machine in two releases: the later one has lost the state `old`. */
export const createParked = (version: '1' | '2'): AnyStateMachine =>
  setup({}).createMachine({
    id: 'parked',
    version,
    initial: version === '1' ? 'old' : 'new',
    states: version === '1' ? { old: { on: { go: 'over' } }, over: { type: 'final' } } : { new: {}, over: { type: 'final' } },
    output: 'over',
  })
