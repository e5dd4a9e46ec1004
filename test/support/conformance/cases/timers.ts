import assert from 'node:assert/strict'
import { assign, cancel, raise, sendParent, sendTo, setup } from 'xstate'
import { advance, type ConformanceCase, send } from '../case.ts'

const DAY = 86_400_000

export const timerCases: readonly ConformanceCase[] = [
  {
    name: 'delays are numbers, names or computed from the context',
    machine: () =>
      setup({
        types: { context: { patience: 0 } },
        delays: { short: 100, patience: ({ context }) => context.patience },
      }).createMachine({
        id: 'delays',
        context: { patience: 300 },
        initial: 'a',
        states: {
          a: { after: { 1000: 'b' } },
          b: { after: { short: { target: 'c', actions: assign({ patience: ({ context }) => context.patience * 2 }) } } },
          c: { after: { patience: 'd' } },
          d: {},
        },
      }),
    script: [advance(999), advance(1), advance(99), advance(1), advance(599), advance(1)],
    expect({ snapshots }) {
      assert.deepEqual(
        snapshots.map(({ value }) => value),
        ['a', 'a', 'b', 'b', 'c', 'c', 'd'],
      )
    },
  },
  {
    name: 'one jump of the clock goes through several delays in a row',
    machine: () =>
      setup({ types: { context: { rounds: 0 } } }).createMachine({
        id: 'blinker',
        context: { rounds: 0 },
        initial: 'dark',
        states: {
          dark: { after: { 70: 'bright' } },
          bright: { entry: assign({ rounds: ({ context }) => context.rounds + 1 }), after: { 30: 'dark' } },
        },
      }),
    script: [advance(475), advance(25)],
    expect({ final, snapshots }) {
      assert.deepEqual([snapshots[1]?.value, snapshots[1]?.context], ['bright', { rounds: 5 }])
      assert.deepEqual([final.value, final.context], ['dark', { rounds: 5 }])
    },
  },
  {
    name: 'a delay has branches, and leaving its state cancels it',
    machine: () =>
      setup({ types: { context: { tries: 0 } } }).createMachine({
        id: 'door',
        context: { tries: 0 },
        initial: 'shut',
        states: {
          shut: { on: { OPEN: { target: 'open', actions: assign({ tries: ({ context }) => context.tries + 1 }) } } },
          open: {
            after: { 500: [{ guard: ({ context }) => context.tries > 1, target: 'stuck' }, { target: 'shut' }], 9000: 'broken' },
            on: { SHUT: 'shut', KEEP: { target: 'open', reenter: true } },
          },
          stuck: {},
          broken: {},
        },
      }),
    script: [
      send('OPEN'),
      advance(400),
      send('KEEP'),
      advance(400),
      send('SHUT'),
      advance(10_000),
      send('OPEN'),
      advance(500),
      advance(9_000),
    ],
    expect({ final, snapshots }) {
      assert.equal(snapshots[4]?.value, 'open')
      assert.equal(snapshots[6]?.value, 'shut')
      assert.equal(final.value, 'stuck')
    },
  },
  {
    name: 'a delayed raise can be cancelled by its id until it is due',
    machine: () =>
      setup({ types: { context: { rung: 0 } } }).createMachine({
        id: 'alarm',
        context: { rung: 0 },
        on: {
          SET: { actions: raise({ type: 'RING' }, { delay: ({ event }) => event.ms, id: 'alarm' }) },
          SET_TWO: {
            actions: [raise({ type: 'RING' }, { delay: 50, id: 'one' }), raise({ type: 'RING' }, { delay: 50, id: 'two' })],
          },
          CANCEL: { actions: cancel(({ event }) => event.id) },
          RING: { actions: assign({ rung: ({ context }) => context.rung + 1 }) },
        },
      }),
    script: [
      send('SET', { ms: 100 }),
      advance(99),
      send('CANCEL', { id: 'alarm' }),
      advance(1_000),
      send('SET', { ms: 100 }),
      send('SET_TWO'),
      send('CANCEL', { id: 'one' }),
      send('CANCEL', { id: 'nobody' }),
      advance(60),
      advance(60),
    ],
    expect({ final, snapshots }) {
      assert.deepEqual(
        [snapshots[4], snapshots[9], final].map((snapshot) => snapshot?.context),
        [{ rung: 0 }, { rung: 1 }, { rung: 2 }],
      )
    },
  },
  {
    name: 'delayed events to a child and to oneself arrive in the order of their deadlines',
    machine: () => {
      const listener = setup({ types: { context: { got: [] as string[] } } }).createMachine({
        id: 'listener',
        context: { got: [] },
        on: {
          '*': {
            actions: [
              assign({ got: ({ context, event }) => [...context.got, event.type] }),
              sendParent(({ event }) => ({ type: `ack.${event.type}` }), { delay: 5 }),
            ],
          },
        },
      })
      return setup({ types: { context: { acks: [] as string[] } }, actors: { listener } }).createMachine({
        id: 'sender',
        context: { acks: [] },
        invoke: { src: 'listener', id: 'ear' },
        on: {
          GO: {
            actions: [
              sendTo('ear', { type: 'late' }, { delay: 30 }),
              sendTo('ear', { type: 'early' }, { delay: 10, id: 'early' }),
              sendTo('ear', { type: 'never' }, { delay: 15, id: 'never' }),
              sendTo('ear', { type: 'now' }),
              sendTo(({ self }) => self, { type: 'ack.self' }, { delay: 20 }),
            ],
          },
          STOP: { actions: cancel('never') },
          'ack.*': { actions: assign({ acks: ({ context, event }) => [...context.acks, event.type] }) },
        },
      })
    },
    script: [send('GO'), advance(12), send('STOP'), advance(3), advance(20)],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[4]?.context, { acks: ['ack.now', 'ack.early'] })
      assert.deepEqual(final.context, { acks: ['ack.now', 'ack.early', 'ack.self', 'ack.late'] })
      assert.deepEqual(final.children?.ear?.snapshot.context, { got: ['now', 'early', 'late'] })
    },
  },
  {
    name: 'events that are due at the same time arrive in the order in which they were set',
    machine: () =>
      setup({ types: { context: { order: '' } } }).createMachine({
        id: 'ties',
        context: { order: '' },
        entry: [
          raise({ type: 'n', n: 1 }, { delay: 100 }),
          raise({ type: 'n', n: 2 }, { delay: 50 }),
          raise({ type: 'n', n: 3 }, { delay: 100 }),
          raise({ type: 'n', n: 4 }, { delay: 100 }),
        ],
        on: {
          n: { actions: assign({ order: ({ context, event }) => `${context.order}${event.n}` }) },
          MORE: { actions: raise({ type: 'n', n: 5 }, { delay: 60 }) },
        },
      }),
    script: [advance(40), send('MORE'), advance(60)],
    expect({ final }) {
      assert.deepEqual(final.context, { order: '21345' })
    },
  },
  {
    name: 'a delay may be longer than 24.8 days',
    machine: () =>
      setup({}).createMachine({
        id: 'subscription',
        initial: 'trial',
        states: {
          trial: { after: { [30 * DAY]: 'active' } },
          active: { after: { [365 * DAY]: 'expired' }, on: { RENEW: { target: 'active', reenter: true } } },
          expired: { type: 'final' },
        },
        output: 'thank you',
      }),
    script: [advance(29 * DAY), advance(DAY), advance(300 * DAY), send('RENEW'), advance(364 * DAY), advance(DAY)],
    expect({ final, snapshots, output }) {
      assert.deepEqual(
        snapshots.map(({ value }) => value),
        ['trial', 'trial', 'active', 'active', 'active', 'active', 'expired'],
      )
      assert.deepEqual([final.status, output], ['done', 'thank you'])
    },
  },
  {
    name: 'timers of children go on and end with them',
    machine: () => {
      const ticker = setup({
        types: { context: { ticks: 0, every: 0 }, input: { every: 0 } },
        delays: { every: ({ context }) => context.every },
      }).createMachine({
        id: 'ticker',
        context: ({ input }) => ({ ticks: 0, every: input.every }),
        initial: 'waiting',
        states: {
          waiting: { after: { every: 'ticking' } },
          ticking: {
            always: {
              target: 'waiting',
              actions: [assign({ ticks: ({ context }) => context.ticks + 1 }), sendParent({ type: 'TICK' })],
            },
          },
        },
      })
      return setup({ types: { context: { heard: 0 } }, actors: { ticker } }).createMachine({
        id: 'clock',
        context: { heard: 0 },
        initial: 'running',
        states: {
          running: {
            invoke: [
              { src: 'ticker', id: 'fast', input: { every: 100 } },
              { src: 'ticker', id: 'slow', input: { every: 250 } },
            ],
            on: { HALT: 'halted' },
          },
          halted: {},
        },
        on: { TICK: { actions: assign({ heard: ({ context }) => context.heard + 1 }) } },
      })
    },
    script: [advance(260), advance(240), send('HALT'), advance(1_000)],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[1]?.children?.fast?.snapshot.context, { ticks: 2, every: 100 })
      assert.deepEqual(snapshots[2]?.children?.slow?.snapshot.context, { ticks: 2, every: 250 })
      assert.deepEqual([final.value, final.context, final.children], ['halted', { heard: 7 }, {}])
    },
  },
  {
    name: 'a delay of nothing and a delay of the root are delays',
    machine: () =>
      setup({}).createMachine({
        id: 'zero',
        initial: 'a',
        after: { 100: '.late' },
        states: { a: { on: { GO: 'b' } }, b: { after: { 0: 'c' } }, c: {}, late: {} },
      }),
    script: [send('GO'), advance(0), advance(100)],
    expect({ snapshots }) {
      assert.deepEqual(
        snapshots.map(({ value }) => value),
        ['a', 'b', 'c', 'late'],
      )
    },
  },
]
