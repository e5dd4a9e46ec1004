/** What `testModel` does with the machines of a user: a durable run comes to what the machine says, on every path. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fromStep } from 'perdure'
import { createTestModel, testModel } from 'perdure/testing'
import { assign, cancel, raise, setup } from 'xstate'

interface Order {
  readonly paid: number
  readonly receipt: string | undefined
}

type OrderEvent = { type: 'PAY'; amount: number } | { type: 'CANCEL' } | { type: 'SHIP' }

const charge = fromStep<string, number>(() => assert.fail('the actors of the machine are not executed'))

const order = setup({
  types: { context: {} as Order, events: {} as OrderEvent, input: {} as { readonly paid: number } },
  actors: { charge },
  guards: { isEnough: ({ context }) => context.paid >= 10 },
}).createMachine({
  id: 'order',
  context: ({ input }) => ({ paid: input.paid, receipt: undefined }),
  initial: 'open',
  states: {
    open: {
      on: {
        PAY: { target: 'checking', actions: assign({ paid: ({ context, event }) => context.paid + event.amount }) },
        CANCEL: 'cancelled',
      },
      after: { 86400000: 'expired' },
    },
    checking: { always: [{ guard: 'isEnough', target: 'charging' }, { target: 'open' }] },
    charging: {
      invoke: {
        src: 'charge',
        id: 'charge',
        input: ({ context }) => context.paid,
        onDone: { target: 'paid', actions: assign({ receipt: ({ event }) => event.output }) },
        onError: { target: 'open', actions: assign({ paid: 0 }) },
      },
      on: { CANCEL: 'cancelled' },
    },
    paid: {
      initial: 'waiting',
      states: { waiting: { on: { SHIP: 'shipped' } }, shipped: { type: 'final' } },
      onDone: 'closed',
    },
    closed: { type: 'final' },
    cancelled: { type: 'final' },
    expired: { type: 'final' },
  },
  output: ({ context }) => context.receipt,
})

const events = [
  { type: 'PAY', amount: 5 },
  { type: 'PAY', amount: 10 },
  { type: 'xstate.done.actor.charge', output: 'receipt-1' },
  { type: 'xstate.error.actor.charge', error: new Error('declined') },
] as const

/** Two regions with deadlines, and delayed events of which one is cancelled. */
const clock = setup({
  types: { context: {} as { readonly pings: number; readonly late: number } },
  delays: { short: 30 },
}).createMachine({
  id: 'clock',
  type: 'parallel',
  context: { pings: 0, late: 0 },
  on: {
    ping: { actions: assign({ pings: ({ context }) => context.pings + 1 }) },
    cancelled: { actions: assign({ late: ({ context }) => context.late + 1 }) },
  },
  states: {
    left: {
      initial: 'one',
      states: {
        one: {
          entry: [raise({ type: 'ping' }, { delay: 40 }), raise({ type: 'cancelled' }, { delay: 50, id: 'cancelled' })],
          exit: cancel('cancelled'),
          after: { short: 'two' },
        },
        two: { type: 'final' },
      },
    },
    right: { initial: 'one', states: { one: { after: { 100: 'two' } }, two: { type: 'final' } } },
  },
})

describe('testModel', () => {
  for (const crash of [false, true]) {
    test(`takes a durable run through every state and transition${crash ? ', with a death at every edge' : ''}`, async () => {
      const seen = new Set<string>()
      const report = await testModel(order, {
        input: { paid: 0 },
        events,
        crash,
        states: {
          'paid.waiting': ({ context }) => {
            seen.add('paid.waiting')
            assert.equal(context.receipt, 'receipt-1')
          },
          '#order.expired': async (snapshot, run) => {
            seen.add('expired')
            assert.equal(snapshot.status, 'done')
            assert.deepEqual((await run.snapshot()).value, 'expired')
          },
          '*': ({ value }) => void seen.add(`* ${JSON.stringify(value)}`),
        },
      })
      assert.deepEqual(report, {
        paths: 11,
        events: 25,
        deaths: crash ? 2 * (11 + 25) : 0,
        states: 10,
        transitions: 10,
        uncovered: [],
      })
      assert.deepEqual([...seen].sort(), ['* "cancelled"', '* "charging"', '* "closed"', '* "open"', 'expired', 'paid.waiting'])
    })
  }

  test('follows time: what is due first comes first, over deaths', async () => {
    const report = await testModel(clock, {
      crash: true,
      filterEvents: (_, { type }) => type !== 'ping' && type !== 'cancelled',
      states: { '*': ({ context }) => assert.equal(context.late, 0) },
    })
    // A reminder of the second region can never come before the first deadline, and the one that was cancelled never at all.
    assert.deepEqual(report.uncovered, ['clock on cancelled'])
    const onlyTime = createTestModel(clock, { filterEvents: (_, { type }) => type.startsWith('xstate.') })
    assert.deepEqual(
      onlyTime.paths.map(({ description }) => description),
      ['wait for xstate.after.short.clock.left.one → wait for ping → wait for xstate.after.100.clock.right.one'],
    )
  })

  test('takes what an actor of a user would come to by default', async () => {
    const { uncovered } = await testModel(order, {
      input: { paid: 20 },
      events: [{ type: 'PAY', amount: 1 }],
      context: false,
      crash: true,
    })
    assert.deepEqual(uncovered, [])
  })

  test('gives a path for each test', async () => {
    const { paths } = createTestModel(order, { input: { paid: 0 }, events, filterEvents: ({ value }) => value === 'open' })
    assert.deepEqual(
      paths.map(({ description }) => description),
      [
        'wait for xstate.after.86400000.order.open',
        'PAY { amount: 10 }',
        'CANCEL',
        'PAY { amount: 5 } → wait for xstate.after.86400000.order.open',
        'PAY { amount: 5 } → PAY { amount: 10 }',
        'PAY { amount: 5 } → CANCEL',
        'PAY { amount: 5 } → PAY { amount: 5 }',
      ],
    )
    for (const path of paths) await path.test()
  })

  test('finds all simple paths too', () => {
    const [shortest, simple] = (['shortest', 'simple'] as const).map(
      (paths) => createTestModel(order, { input: { paid: 0 }, events, paths }).paths.length,
    )
    assert.ok(Number(simple) > Number(shortest), `${simple} paths instead of ${shortest}`)
  })

  test('shows the shortest failing path, with the assertion that failed', async () => {
    const wrong = new Error('no receipt')
    const failing = testModel(order, {
      input: { paid: 0 },
      events,
      crash: true,
      states: {
        paid() {
          throw wrong
        },
      },
    })
    await assert.rejects(failing, (error: Error) => {
      assert.equal(error.cause, wrong)
      assert.equal(
        error.message,
        "A durable run of `order` is not as its model after these 2 events, each of them cut off by two deaths:\n  1. PAY { amount: 10 }\n  2. xstate.done.actor.charge { output: 'receipt-1' }\nThe check of `paid` failed: no receipt",
      )
      return true
    })
  })

  test('finds what a machine does that depends on more than its events', async () => {
    let made = 0
    const counting = setup({ types: { context: {} as { readonly made: number } } }).createMachine({
      id: 'counting',
      context: { made: 0 },
      initial: 'idle',
      states: { idle: { on: { MAKE: { target: 'made', actions: assign({ made: () => ++made }) } } }, made: {} },
    })
    await assert.rejects(
      testModel(counting),
      /counting` is not as its model after this event:\n {2}1\. MAKE\n`context\.made` is `\d` instead of `\d`\./,
    )
    await testModel(counting, { context: false })
  })

  test('finds an event of which a run makes what cannot be kept', async () => {
    const keeping = setup({ types: { context: {} as { readonly kept?: () => void } } }).createMachine({
      id: 'keeping',
      context: {},
      on: { KEEP: { actions: assign({ kept: () => () => {} }) } },
    })
    await assert.rejects(testModel(keeping), /1\. KEEP\n.*context\.kept/s)
  })

  test('holds a machine that throws against what XState makes of it', async () => {
    const throwing = setup({}).createMachine({
      id: 'throwing',
      initial: 'idle',
      states: { idle: { on: { THROW: { actions: assign(() => assert.fail('thrown')) }, STAY: {} } } },
    })
    const failed: string[] = []
    const { uncovered } = await testModel(throwing, { states: { '*': ({ status }) => void failed.push(status) } })
    assert.deepEqual([failed, uncovered], [['active', 'error'], ['throwing.idle on THROW']])
  })

  test('says so when the graph has no end', () => {
    const endless = setup({ types: { context: {} as { readonly n: number } } }).createMachine({
      id: 'endless',
      context: { n: 0 },
      on: { MORE: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
    })
    assert.throws(() => createTestModel(endless, { limit: 50 }), /graph of `endless` has more than 50 steps/)
    assert.equal(createTestModel(endless, { stopWhen: ({ context }) => context.n === 7 }).paths.length, 1)
    assert.equal(createTestModel(endless, { serializeState: ({ context }) => String(context.n % 3) }).paths.length, 1)
  })

  test('refuses options that it does not know', () => {
    const paths = 'longest' as 'shortest' // of a user without types
    assert.throws(
      () => createTestModel(clock, { paths }),
      /Expected `paths` to be 'shortest' or 'simple', got `longest` \(string\)/,
    )
    assert.throws(() => createTestModel(clock, { limit: 0 }), /Expected `limit` to be an integer ≥ 1, got `0` \(number\)/)
  })
})
