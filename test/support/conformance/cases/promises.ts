import assert from 'node:assert/strict'
import { assign, fromPromise, sendTo, setup, spawnChild } from 'xstate'
import { advance, type ConformanceCase, send, settle } from '../case.ts'

const again = 'After a restart the promise is asked for again, and answers the same to the same input.'

export const promiseCases: readonly ConformanceCase[] = [
  {
    name: 'a promise gets input and its result is assigned',
    idempotent: again,
    machine: (world) => {
      const fetchUser = fromPromise(async ({ input }: { input: { id: number } }) => {
        await world.gate('user')
        return { id: input.id, name: `user ${input.id}` }
      })
      return setup({ types: { context: { user: null as unknown } }, actors: { fetchUser } }).createMachine({
        id: 'profile',
        context: { user: null },
        initial: 'idle',
        states: {
          idle: { on: { LOAD: 'loading' } },
          loading: {
            invoke: {
              src: 'fetchUser',
              id: 'fetch',
              input: ({ event }) => ({ id: event.id }),
              onDone: { target: 'loaded', actions: assign({ user: ({ event }) => event.output }) },
            },
          },
          loaded: {},
        },
      })
    },
    script: [send('LOAD', { id: 5 }), send('UNKNOWN'), settle()],
    expect({ final, snapshots }) {
      assert.equal(snapshots[2]?.children?.fetch?.snapshot.status, 'active')
      assert.deepEqual([final.value, final.context], ['loaded', { user: { id: 5, name: 'user 5' } }])
    },
  },
  {
    name: 'a promise that rejects is handled by its parent',
    idempotent: again,
    machine: (world) => {
      const pay = fromPromise<string, { amount: number }>(async ({ input }) => {
        await world.gate('bank')
        throw new TypeError(`cannot pay ${input.amount}`)
      })
      return setup({ types: { context: { error: null as unknown } }, actors: { pay } }).createMachine({
        id: 'payment',
        context: { error: null },
        initial: 'paying',
        states: {
          paying: {
            invoke: {
              src: 'pay',
              input: { amount: 3 },
              onDone: 'paid',
              onError: { target: 'failed', actions: assign({ error: ({ event }) => event.error }) },
            },
          },
          paid: {},
          failed: {},
        },
      })
    },
    script: [settle('bank')],
    expect({ final }) {
      assert.deepEqual([final.value, final.context], ['failed', { error: new TypeError('cannot pay 3') }])
    },
  },
  {
    name: 'a promise that is tried again after a delay succeeds in the end',
    idempotent: `${again} The attempt is part of its input.`,
    machine: ({ effects }) => {
      const flaky = fromPromise(async ({ input }: { input: { attempt: number } }) => {
        effects.push(`attempt ${input.attempt}`)
        if (input.attempt < 3) throw new Error(`attempt ${input.attempt} failed`)
        return input.attempt * 100
      })
      return setup({
        types: { context: { attempt: 1, result: 0 } },
        actors: { flaky },
        delays: { backoff: ({ context }) => context.attempt * 1_000 },
      }).createMachine({
        id: 'retry',
        context: { attempt: 1, result: 0 },
        initial: 'trying',
        states: {
          trying: {
            invoke: {
              src: 'flaky',
              input: ({ context }) => ({ attempt: context.attempt }),
              onDone: { target: 'done', actions: assign({ result: ({ event }) => event.output }) },
              onError: [{ guard: ({ context }) => context.attempt >= 5, target: 'given up' }, { target: 'waiting' }],
            },
          },
          waiting: {
            after: { backoff: { target: 'trying', actions: assign({ attempt: ({ context }) => context.attempt + 1 }) } },
          },
          done: { type: 'final' },
          'given up': { type: 'final' },
        },
        output: ({ context }) => context.result,
      })
    },
    script: [advance(999), advance(1), advance(2_000)],
    expect({ snapshots, output, effects }) {
      assert.deepEqual(
        snapshots.map(({ value }) => value),
        ['waiting', 'waiting', 'waiting', 'done'],
      )
      assert.equal(output, 300)
      assert.deepEqual(effects, ['attempt 1', 'attempt 2', 'attempt 3'])
    },
  },
  {
    name: 'promises run side by side in regions',
    idempotent: `${again} Each has its own place for its result.`,
    machine: (world) => {
      const load = fromPromise(async ({ input }: { input: string }) => {
        await world.gate(input)
        return `${input}!`
      })
      const room = setup({
        types: { context: {} as Record<string, string> },
        actors: { load },
        actions: { keep: assign((_, { id, text }: { id: string; text: string }) => ({ [id]: text })) },
      })
      const region = (id: string) =>
        room.createStateConfig({
          initial: 'loading',
          states: {
            loading: {
              invoke: {
                src: 'load',
                id,
                input: id,
                onDone: { target: 'loaded', actions: { type: 'keep', params: ({ event }) => ({ id, text: event.output }) } },
              },
            },
            loaded: { type: 'final' },
          },
        })
      return room.createMachine({
        id: 'page',
        context: {},
        initial: 'loading',
        states: {
          loading: {
            type: 'parallel',
            states: { head: region('head'), body: region('body'), foot: region('foot') },
            onDone: 'ready',
          },
          ready: {},
        },
      })
    },
    script: [settle('body'), settle('foot'), settle('head')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[2]?.value, { loading: { head: 'loading', body: 'loaded', foot: 'loaded' } })
      assert.deepEqual([final.value, final.context], ['ready', { head: 'head!', body: 'body!', foot: 'foot!' }])
    },
  },
  {
    name: 'a promise whose state is left is aborted and its result does not count',
    idempotent: 'What was left is not asked for again.',
    machine: (world) => {
      const slow = fromPromise(async ({ signal, input }: { signal: AbortSignal; input: { n: number } }) => {
        signal.addEventListener('abort', () => world.effects.push(`aborted ${input.n}`))
        await world.gate(`slow ${input.n}`)
        return input.n
      })
      return setup({ types: { context: { n: 0, results: [] as number[] } }, actors: { slow } }).createMachine({
        id: 'search',
        context: { n: 0, results: [] },
        initial: 'idle',
        states: {
          idle: {},
          searching: {
            invoke: {
              src: 'slow',
              input: ({ context }) => ({ n: context.n }),
              onDone: {
                target: 'idle',
                actions: assign({ results: ({ context, event }) => [...context.results, event.output] }),
              },
            },
          },
        },
        on: {
          TYPE: { target: '.searching', reenter: true, actions: assign({ n: ({ context }) => context.n + 1 }) },
          CLEAR: '.idle',
        },
      })
    },
    script: [send('TYPE'), send('TYPE'), settle('slow 1'), settle('slow 2'), send('TYPE'), send('CLEAR'), settle('slow 3')],
    expect({ final, snapshots, effects }) {
      assert.deepEqual(snapshots[3]?.context, { n: 2, results: [] })
      assert.deepEqual([final.value, final.context], ['idle', { n: 3, results: [2] }])
      assert.deepEqual(
        effects.filter((effect) => effect === 'aborted 1' || effect === 'aborted 3'),
        ['aborted 1', 'aborted 3'],
      )
    },
  },
  {
    name: 'a promise in a child of a child gives its result upwards',
    idempotent: again,
    machine: (world) => {
      const answer = fromPromise(async ({ input }: { input: number }) => {
        await world.gate('deep thought')
        return input + 2
      })
      const inner = setup({ types: { context: { result: 0 }, output: 0 }, actors: { answer } }).createMachine({
        id: 'inner',
        context: { result: 0 },
        initial: 'thinking',
        states: {
          thinking: {
            invoke: {
              src: 'answer',
              input: 40,
              onDone: { target: 'done', actions: assign({ result: ({ event }) => event.output }) },
            },
          },
          done: { type: 'final' },
        },
        output: ({ context }) => context.result,
      })
      const middle = setup({ types: { output: {} as { answer: number } }, actors: { inner } }).createMachine({
        id: 'middle',
        initial: 'asking',
        states: {
          asking: { invoke: { src: 'inner', onDone: 'done' } },
          done: { type: 'final', output: ({ event }) => ({ answer: event.output }) },
        },
        output: ({ event }) => event.output as { answer: number },
      })
      return setup({ actors: { middle } }).createMachine({
        id: 'outer',
        initial: 'asking',
        states: {
          asking: { invoke: { src: 'middle', onDone: 'done' } },
          done: { type: 'final', output: ({ event }) => event.output },
        },
        output: ({ event }) => event.output,
      })
    },
    script: [send('UNKNOWN'), settle()],
    expect({ snapshots, output }) {
      assert.equal(snapshots[1]?.value, 'asking')
      assert.deepEqual(output, { answer: 42 })
    },
  },
  {
    name: 'many promises of one source are spawned and each tells its own id when it is done',
    idempotent: `${again} Results are kept by id.`,
    machine: (world) => {
      const job = fromPromise(async ({ input }: { input: { n: number } }) => {
        await world.gate(`job ${input.n}`)
        return input.n ** 2
      })
      return setup({ types: { context: { results: {} as Record<string, number> } }, actors: { job } }).createMachine({
        id: 'batch',
        context: { results: {} },
        entry: [1, 2, 3, 4, 5].map((n) => spawnChild('job', { id: `job-${n}`, input: { n } })),
        on: {
          'xstate.done.actor.*': {
            actions: assign({
              results: ({ context, event }) => ({ ...context.results, [event.actorId as string]: event.output }),
            }),
          },
        },
      })
    },
    script: [settle('job 3'), settle('job 1'), settle()],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[2]?.context, { results: { 'job-3': 9, 'job-1': 1 } })
      assert.deepEqual(final.context, { results: { 'job-1': 1, 'job-2': 4, 'job-3': 9, 'job-4': 16, 'job-5': 25 } })
    },
  },
  {
    name: 'an order goes its way through payment, packing and a deadline',
    idempotent: again,
    machine: (world) => {
      const charge = fromPromise(async ({ input }: { input: { cents: number } }) => {
        await world.gate('charge')
        return { receipt: `r-${input.cents}` }
      })
      const parcel = setup({ types: { context: { items: 0 }, output: 0 } }).createMachine({
        id: 'parcel',
        context: { items: 0 },
        initial: 'open',
        states: {
          open: { on: { PACK: { actions: assign({ items: ({ context }) => context.items + 1 }) }, SEAL: 'sealed' } },
          sealed: { type: 'final' },
        },
        output: ({ context }) => context.items,
      })
      return setup({
        types: { context: { cents: 0, receipt: '', packed: 0 }, emitted: {} as { type: string; items?: number } },
        actors: { charge, parcel },
      }).createMachine({
        id: 'order',
        context: ({ input }) => ({ cents: (input as { cents: number }).cents, receipt: '', packed: 0 }),
        initial: 'placed',
        states: {
          placed: { on: { PAY: 'paying' }, after: { 900000: 'abandoned' } },
          paying: {
            tags: 'busy',
            invoke: {
              src: 'charge',
              input: ({ context }) => context,
              onDone: { target: 'packing', actions: assign({ receipt: ({ event }) => event.output.receipt }) },
              onError: 'placed',
            },
          },
          packing: {
            invoke: {
              src: 'parcel',
              id: 'parcel',
              onDone: { target: 'shipped', actions: assign({ packed: ({ event }) => event.output }) },
            },
            on: {
              'item.*': { actions: sendTo('parcel', { type: 'PACK' }) },
              ship: { actions: sendTo('parcel', { type: 'SEAL' }, { delay: 60_000 }) },
            },
          },
          shipped: { type: 'final' },
          abandoned: { type: 'final' },
        },
        output: ({ context }) => context,
      })
    },
    input: { cents: 990 },
    script: [
      advance(800_000),
      send('PAY'),
      advance(800_000),
      settle('charge'),
      send('item.tea'),
      send('item.cup'),
      send('ship'),
      send('item.milk'),
      advance(60_000),
    ],
    expect({ snapshots, output }) {
      assert.deepEqual(snapshots[3]?.tags, ['busy'])
      assert.deepEqual(output, { cents: 990, receipt: 'r-990', packed: 3 })
    },
  },
]
