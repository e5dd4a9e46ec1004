import assert from 'node:assert/strict'
import { assign, emit, fromCallback, fromPromise, fromTransition, sendTo, setup, spawnChild } from 'xstate'
import { advance, type ConformanceCase, send, settle } from '../case.ts'

const bomb = () =>
  setup({
    actions: {
      explode: () => {
        throw new Error('boom')
      },
    },
  }).createMachine({ id: 'bomb', initial: 'ticking', states: { ticking: { on: { HIT: { actions: 'explode' } } } } })

/** Machines that fail, and whose children fail. */
export const failureCases: readonly ConformanceCase[] = [
  {
    name: 'an action that throws ends the machine in error',
    machine: () =>
      setup({ types: { context: { before: 0 }, emitted: {} as { type: 'near' } } }).createMachine({
        id: 'thrower',
        context: { before: 0 },
        initial: 'a',
        states: {
          a: {
            after: { 1000: 'b' },
            on: {
              COUNT: { actions: [assign({ before: ({ context }) => context.before + 1 }), emit({ type: 'near' })] },
              THROW: {
                target: 'b',
                actions: [
                  assign({ before: 99 }),
                  () => {
                    throw new RangeError('out of reach')
                  },
                ],
              },
            },
          },
          b: {},
        },
      }),
    script: [send('COUNT'), send('THROW'), send('COUNT'), advance(2_000)],
    expect({ final, emitted }) {
      assert.deepEqual([final.status, final.error, final.value, final.context], ['error', 'out of reach', 'a', { before: 1 }])
      assert.equal(emitted.length, 1)
    },
  },
  {
    name: 'a guard that throws ends the machine in error',
    machine: () =>
      setup({
        guards: {
          isBroken: () => {
            throw new Error('no idea')
          },
        },
      }).createMachine({
        id: 'guarded',
        initial: 'a',
        states: { a: { on: { TRY: { guard: 'isBroken', target: 'b' } } }, b: {} },
      }),
    script: [send('OTHER'), send('TRY')],
    expect({ final }) {
      assert.equal(final.status, 'error')
      assert.match(String(final.error), /Unable to evaluate guard 'isBroken'.*no idea/s)
    },
  },
  {
    name: 'a machine that fails as it starts is in error',
    machine: () =>
      setup({}).createMachine({
        id: 'stillborn',
        context: {},
        initial: 'a',
        states: {
          a: {
            entry: () => {
              throw new Error('not today')
            },
          },
        },
      }),
    script: [send('ANY')],
    expect({ final }) {
      assert.deepEqual([final.status, final.error], ['error', 'not today'])
    },
  },
  {
    name: 'a child that fails is handled by its parent',
    machine: () =>
      setup({ types: { context: { reason: '' } }, actors: { bomb: bomb() } }).createMachine({
        id: 'squad',
        context: { reason: '' },
        initial: 'watching',
        states: {
          watching: {
            invoke: {
              src: 'bomb',
              id: 'bomb',
              onError: { target: 'cleaning', actions: assign({ reason: ({ event }) => (event.error as Error).message }) },
            },
            on: { HIT: { actions: sendTo('bomb', { type: 'HIT' }) } },
          },
          cleaning: { after: { 500: 'watching' } },
        },
      }),
    script: [send('HIT'), send('HIT'), advance(500)],
    expect({ final, snapshots }) {
      assert.deepEqual([snapshots[1]?.value, snapshots[1]?.context, snapshots[1]?.children], ['cleaning', { reason: 'boom' }, {}])
      assert.equal(final.children?.bomb?.snapshot.status, 'active')
    },
  },
  {
    name: 'a child that fails and is handled by nobody ends its parent in error',
    machine: () => {
      const squad = setup({ actors: { bomb: bomb() } }).createMachine({
        id: 'squad',
        invoke: { src: 'bomb', id: 'bomb' },
        on: { HIT: { actions: sendTo('bomb', { type: 'HIT' }) } },
      })
      return setup({ actors: { squad } }).createMachine({
        id: 'city',
        initial: 'calm',
        invoke: { src: 'squad', id: 'squad' },
        states: { calm: { on: { HIT: { actions: sendTo('squad', { type: 'HIT' }) } } } },
      })
    },
    script: [send('OTHER'), send('HIT'), send('OTHER')],
    expect({ final }) {
      assert.deepEqual([final.status, final.error], ['error', 'boom'])
    },
  },
  {
    name: 'a spawned promise that rejects is caught by its error event',
    idempotent: 'After a restart the promise is asked for again, and rejects again.',
    machine: (world) => {
      const shaky = fromPromise(async () => {
        await world.gate('shake')
        throw 'just a text'
      })
      return setup({ types: { context: { caught: [] as unknown[] } }, actors: { shaky } }).createMachine({
        id: 'catcher',
        context: { caught: [] },
        entry: spawnChild('shaky', { id: 'shaky' }),
        on: {
          'xstate.error.actor.shaky': { actions: assign({ caught: ({ context, event }) => [...context.caught, event.error] }) },
        },
      })
    },
    script: [send('OTHER'), settle()],
    expect({ final }) {
      assert.deepEqual([final.status, final.context], ['active', { caught: ['just a text'] }])
    },
  },
  {
    name: 'a promise that rejects unhandled ends the machine in error',
    idempotent: 'After a restart the promise is asked for again, and rejects again.',
    machine: (world) => {
      const shaky = fromPromise(async () => {
        await world.gate('shake')
        throw new SyntaxError('nonsense')
      })
      return setup({ actors: { shaky } }).createMachine({
        id: 'naive',
        initial: 'waiting',
        states: { waiting: { invoke: { src: 'shaky' } } },
      })
    },
    script: [send('OTHER'), settle()],
    expect({ final }) {
      assert.deepEqual([final.status, final.error], ['error', 'nonsense'])
    },
  },
  {
    name: 'a reducer that throws fails as a child',
    machine: () => {
      const fragile = fromTransition((state: number, event: { type: string }) => {
        if (event.type === 'break') throw new Error('broken')
        return state + 1
      }, 0)
      return setup({ types: { context: { errors: 0 } }, actors: { fragile } }).createMachine({
        id: 'careful',
        context: { errors: 0 },
        initial: 'using',
        states: {
          using: {
            invoke: {
              src: 'fragile',
              id: 'fragile',
              onError: { target: 'using', reenter: true, actions: assign({ errors: ({ context }) => context.errors + 1 }) },
            },
          },
        },
        on: { '*': { actions: sendTo('fragile', ({ event }) => event) } },
      })
    },
    script: [send('use'), send('use'), send('break'), send('use')],
    expect({ final, snapshots }) {
      assert.equal(snapshots[2]?.children?.fragile?.snapshot.context, 2)
      assert.deepEqual([final.context, final.children?.fragile?.snapshot.context], [{ errors: 1 }, 1])
    },
  },
  {
    name: 'a callback that throws as it starts fails as a child',
    idempotent: 'It never comes to run.',
    machine: () => {
      const unfit = fromCallback(() => {
        throw new Error('unfit')
      })
      return setup({ actors: { unfit } }).createMachine({
        id: 'hiring',
        initial: 'idle',
        states: {
          idle: { on: { HIRE: 'trial' } },
          trial: { invoke: { src: 'unfit', onError: 'idle' }, on: { KEEP: 'kept' } },
          kept: {},
        },
      })
    },
    script: [send('HIRE'), send('KEEP')],
    expect({ final }) {
      assert.equal(final.value, 'idle')
    },
  },
]
