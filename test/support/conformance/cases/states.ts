import assert from 'node:assert/strict'
import { assign, setup } from 'xstate'
import { advance, type ConformanceCase, send } from '../case.ts'

/** Compound and parallel states, final states, tags, meta, multiple targets, internal transitions and reentry. */
export const stateCases: readonly ConformanceCase[] = [
  {
    name: 'a compound state tells its parent when it is done',
    machine: () =>
      setup({ types: { context: { walks: 0 } } }).createMachine({
        id: 'light',
        context: { walks: 0 },
        initial: 'green',
        states: {
          green: { on: { TIMER: 'yellow' } },
          yellow: { on: { TIMER: 'red' } },
          red: {
            initial: 'walk',
            states: {
              walk: { on: { COUNTDOWN: 'wait' } },
              wait: { on: { COUNTDOWN: 'stop' } },
              stop: { type: 'final' },
            },
            onDone: { target: 'green', actions: assign({ walks: ({ context }) => context.walks + 1 }) },
          },
        },
      }),
    script: [send('TIMER'), send('TIMER'), send('COUNTDOWN'), send('COUNTDOWN'), send('TIMER'), send('TIMER')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[3]?.value, { red: 'wait' })
      assert.deepEqual([final.value, final.context], [{ red: 'walk' }, { walks: 1 }])
    },
  },
  {
    name: 'a parallel state is done when all of its regions are, with their outputs',
    machine: () =>
      setup({ types: { context: { outputs: {} as object } } }).createMachine({
        id: 'upload',
        initial: 'working',
        context: { outputs: {} },
        states: {
          working: {
            type: 'parallel',
            states: {
              file: {
                onDone: { actions: assign({ outputs: ({ context, event }) => ({ ...context.outputs, file: event.output }) }) },
                initial: 'sending',
                states: {
                  sending: { on: { 'file.sent': 'sent' } },
                  sent: { type: 'final', output: ({ event }) => ({ bytes: event.bytes }) },
                },
              },
              thumbnail: {
                onDone: {
                  actions: assign({ outputs: ({ context, event }) => ({ ...context.outputs, thumbnail: event.output }) }),
                },
                initial: 'drawing',
                states: { drawing: { on: { 'thumbnail.drawn': 'drawn' } }, drawn: { type: 'final', output: 'small' } },
              },
            },
            onDone: 'finished',
          },
          finished: { type: 'final' },
        },
        output: ({ context }) => context.outputs,
      }),
    script: [send('thumbnail.drawn'), send('file.sent', { bytes: 12 })],
    expect({ final, output, snapshots }) {
      assert.deepEqual(snapshots[1]?.value, { working: { file: 'sending', thumbnail: 'drawn' } })
      assert.equal(final.status, 'done')
      assert.deepEqual(output, { file: { bytes: 12 }, thumbnail: 'small' })
    },
  },
  {
    name: 'regions of a parallel state take the same event independently',
    machine: () =>
      setup({}).createMachine({
        id: 'editor',
        type: 'parallel',
        states: {
          bold: { initial: 'off', states: { on: { on: { TOGGLE: 'off' } }, off: { on: { TOGGLE: 'on', BOLD: 'on' } } } },
          italic: { initial: 'on', states: { on: { on: { TOGGLE: 'off' } }, off: { on: { TOGGLE: 'on' } } } },
          list: { initial: 'none', states: { none: { on: { LIST: 'bullets' } }, bullets: { on: { LIST: 'none' } } } },
        },
        on: { RESET: { target: ['.bold.off', '.italic.off'] } },
      }),
    script: [send('TOGGLE'), send('TOGGLE'), send('LIST'), send('BOLD'), send('RESET'), send('TOGGLE')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[4]?.value, { bold: 'on', italic: 'on', list: 'bullets' })
      // Targets at two regions of the root enter the whole root anew.
      assert.deepEqual(snapshots[5]?.value, { bold: 'off', italic: 'off', list: 'none' })
      assert.deepEqual(final.value, { bold: 'on', italic: 'on', list: 'none' })
    },
  },
  {
    name: 'a transition with several targets enters each of them',
    machine: () =>
      setup({}).createMachine({
        id: 'machine',
        initial: 'idle',
        states: {
          idle: { on: { GO: { target: ['#turning', '#bright'] } } },
          driving: {
            type: 'parallel',
            states: {
              wheels: { initial: 'still', states: { still: {}, turning: { id: 'turning' } } },
              lights: { initial: 'dark', states: { dark: {}, bright: { id: 'bright' } } },
              radio: { initial: 'mute', states: { mute: {}, loud: {} } },
            },
          },
        },
      }),
    script: [send('GO')],
    expect({ final }) {
      assert.deepEqual(final.value, { driving: { wheels: 'turning', lights: 'bright', radio: 'mute' } })
    },
  },
  {
    name: 'a reentering transition leaves and enters its state, an internal one does not',
    machine: ({ effects }) =>
      setup({ types: { context: { entries: 0, exits: 0, inner: 0, touched: 0 } } }).createMachine({
        id: 'form',
        context: { entries: 0, exits: 0, inner: 0, touched: 0 },
        initial: 'editing',
        states: {
          editing: {
            entry: [assign({ entries: ({ context }) => context.entries + 1 }), () => effects.push('entered')],
            exit: assign({ exits: ({ context }) => context.exits + 1 }),
            initial: 'name',
            states: { name: { entry: assign({ inner: ({ context }) => context.inner + 1 }), on: { NEXT: 'mail' } }, mail: {} },
            on: {
              TOUCH: { actions: assign({ touched: ({ context }) => context.touched + 1 }) },
              RESTART: '.name',
              SELF: 'editing',
              REENTER: { target: 'editing', reenter: true },
            },
          },
        },
      }),
    script: [send('NEXT'), send('TOUCH'), send('RESTART'), send('NEXT'), send('SELF'), send('NEXT'), send('REENTER')],
    expect({ final, snapshots, effects }) {
      assert.deepEqual(snapshots[2]?.value, { editing: 'mail' })
      assert.deepEqual(snapshots[5]?.context, { entries: 1, exits: 0, inner: 3, touched: 1 })
      assert.deepEqual(final.context, { entries: 2, exits: 1, inner: 4, touched: 1 })
      assert.deepEqual(effects, ['entered', 'entered'])
    },
  },
  {
    name: 'tags and meta belong to the states that are active',
    machine: () =>
      setup({}).createMachine({
        id: 'order',
        meta: { version: 3 },
        initial: 'open',
        states: {
          open: { tags: ['editable', 'visible'], meta: { title: 'Open' }, on: { PAY: 'paid' } },
          paid: {
            tags: 'visible',
            meta: { title: 'Paid' },
            initial: 'packing',
            states: { packing: { tags: ['busy'], meta: { shelf: 7 }, on: { SHIP: 'shipped' } }, shipped: { tags: [] } },
          },
        },
      }),
    script: [send('PAY'), send('SHIP')],
    expect({ final, snapshots }) {
      assert.deepEqual(
        snapshots.map(({ tags }) => tags),
        [['editable', 'visible'], ['busy', 'visible'], ['visible']],
      )
      assert.deepEqual(snapshots[1]?.meta, {
        order: { version: 3 },
        'order.paid': { title: 'Paid' },
        'order.paid.packing': { shelf: 7 },
      })
      assert.deepEqual(final.meta, { order: { version: 3 }, 'order.paid': { title: 'Paid' } })
    },
  },
  {
    name: 'the output of a machine is made of its context and of the event that ended it',
    machine: () =>
      setup({ types: { context: { votes: 0 }, input: { quorum: 1 }, output: {} as object } }).createMachine({
        id: 'vote',
        context: { votes: 0 },
        initial: 'open',
        states: {
          open: { on: { VOTE: { actions: assign({ votes: ({ context }) => context.votes + 1 }) }, CLOSE: 'closed' } },
          closed: { type: 'final', output: ({ event }) => ({ by: event.by }) },
        },
        output: ({ context, event }) => ({ votes: context.votes, closed: event.output, type: event.type }),
      }),
    script: [send('VOTE'), send('VOTE'), send('CLOSE', { by: 'Ada' }), send('VOTE')],
    expect({ final, output, snapshots }) {
      assert.deepEqual(
        snapshots.map(({ status }) => status),
        ['active', 'active', 'active', 'done', 'done'],
      )
      assert.deepEqual(output, { votes: 2, closed: { by: 'Ada' }, type: 'xstate.done.state.vote.closed' })
      assert.deepEqual(final.context, { votes: 2 })
    },
  },
  {
    name: 'a machine can be done as it starts',
    machine: () =>
      setup({ types: { context: { a: 0 }, input: { a: 0 }, output: 0 } }).createMachine({
        id: 'sum',
        context: ({ input }) => ({ a: input.a }),
        initial: 'checking',
        states: { checking: { always: 'checked' }, checked: { type: 'final' } },
        output: ({ context }) => context.a * 2,
      }),
    input: { a: 21 },
    script: [send('ANY')],
    expect({ final, output }) {
      assert.deepEqual([final.status, final.value, output], ['done', 'checked', 42])
    },
  },
  {
    name: 'a route goes to a state by its id',
    machine: () =>
      setup({}).createMachine({
        id: 'app',
        initial: 'home',
        states: {
          home: { id: 'home', route: {} },
          settings: { initial: 'profile', states: { profile: {}, billing: { id: 'billing', route: {} } } },
        },
      }),
    script: [send('xstate.route', { to: '#billing' }), send('xstate.route', { to: '#nowhere' })],
    expect({ final }) {
      assert.deepEqual(final.value, { settings: 'billing' })
    },
  },
  {
    name: 'the end of a state is an event that others hear by its name',
    machine: () =>
      setup({ types: { context: { heard: [] as string[] } } }).createMachine({
        id: 'race',
        context: { heard: [] },
        type: 'parallel',
        states: {
          hare: { initial: 'running', states: { running: { on: { HARE: 'home' } }, home: { type: 'final' } } },
          tortoise: {
            initial: 'walking',
            states: { walking: { on: { TORTOISE: 'home' } }, home: { type: 'final', output: 'slowly' } },
          },
          judge: {
            initial: 'watching',
            states: {
              watching: {
                on: {
                  'xstate.done.state.race.hare': { actions: assign({ heard: ({ context }) => [...context.heard, 'hare'] }) },
                  'xstate.done.state.*': {
                    actions: assign({ heard: ({ context, event }) => [...context.heard, String(event.output)] }),
                  },
                },
              },
            },
          },
        },
      }),
    script: [send('TORTOISE'), send('HARE')],
    expect({ final }) {
      assert.deepEqual([final.status, final.context], ['active', { heard: ['slowly', 'hare'] }])
    },
  },
  {
    name: 'implementations that were provided later are used',
    machine: () =>
      setup({
        types: { context: { n: 0 } },
        guards: { isEnough: () => false },
        delays: { pause: 1 },
        actions: { count: assign({ n: 0 }) },
      })
        .createMachine({
          id: 'template',
          context: { n: 0 },
          initial: 'a',
          states: {
            a: { on: { GO: { actions: 'count' } }, always: { guard: 'isEnough', target: 'b' } },
            b: { after: { pause: 'c' } },
            c: {},
          },
        })
        .provide({
          guards: { isEnough: ({ context }) => context.n >= 2 },
          delays: { pause: 5_000 },
          actions: { count: assign({ n: ({ context }) => context.n + 1 }) },
        }),
    script: [send('GO'), send('GO'), advance(4_999), advance(1)],
    expect({ snapshots }) {
      assert.deepEqual(
        snapshots.map(({ value }) => value),
        ['a', 'a', 'b', 'b', 'c'],
      )
    },
  },
]
