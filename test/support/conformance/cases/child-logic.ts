import assert from 'node:assert/strict'
import { fromStore } from '@xstate/store'
import {
  type AnyActorRef,
  assign,
  fromCallback,
  fromEventObservable,
  fromObservable,
  fromTransition,
  sendTo,
  setup,
  spawnChild,
  stopChild,
} from 'xstate'
import { type ConformanceCase, send, settle } from '../case.ts'
import { fromValues } from '../subscribable.ts'

/** Children that are no machines: transitions, stores, callbacks, observables; and the snapshots that they share. */
export const childLogicCases: readonly ConformanceCase[] = [
  {
    name: 'a transition function is an actor',
    machine: () => {
      const tally = fromTransition(
        (state: { total: number; seen: number }, event: { type: string; n?: number }) =>
          event.type === 'add' ? { total: state.total + (event.n ?? 0), seen: state.seen + 1 } : state,
        ({ input }: { input: { from: number } }) => ({ total: input.from, seen: 0 }),
      )
      return setup({ actors: { tally } }).createMachine({
        id: 'shop',
        invoke: { src: 'tally', id: 'tally', input: { from: 1_000 } },
        on: { '*': { actions: sendTo('tally', ({ event }) => event) } },
      })
    },
    script: [send('add', { n: 5 }), send('other'), send('add', { n: 7 })],
    expect({ final }) {
      assert.deepEqual(final.children?.tally?.snapshot.context, { total: 1_012, seen: 2 })
    },
  },
  {
    name: 'a store is an actor',
    machine: () => {
      const cart = fromStore({
        context: (input: { owner: string }) => ({ owner: input.owner, items: [] as string[] }),
        on: {
          added: (context, event: { item: string }) => ({ ...context, items: [...context.items, event.item] }),
          cleared: (context) => ({ ...context, items: [] }),
        },
      })
      return setup({ types: { context: { seen: 0 } }, actors: { cart } }).createMachine({
        id: 'checkout',
        context: { seen: 0 },
        invoke: { src: 'cart', id: 'cart', input: { owner: 'Ada' } },
        on: {
          ADD: { actions: sendTo('cart', ({ event }) => ({ type: 'added', item: event.item })) },
          CLEAR: { actions: sendTo('cart', { type: 'cleared' }) },
          LOOK: {
            actions: assign({
              seen: ({ self }) => (self.getSnapshot().children.cart?.getSnapshot().context.items.length ?? -1) as number,
            }),
          },
        },
      })
    },
    script: [
      send('ADD', { item: 'tea' }),
      send('CLEAR'),
      send('ADD', { item: 'milk' }),
      send('ADD', { item: 'rice' }),
      send('LOOK'),
    ],
    expect({ final }) {
      assert.deepEqual(final.children?.cart?.snapshot.context, { owner: 'Ada', items: ['milk', 'rice'] })
      assert.deepEqual(final.context, { seen: 2 })
    },
  },
  {
    name: 'a callback receives events and sends some back until it is stopped',
    idempotent: 'It keeps nothing: what it sends back depends on what it has just received.',
    machine: ({ effects }) => {
      const echo = fromCallback<{ type: string; text: string }, { prefix: string }>(({ input, receive, sendBack }) => {
        receive((event) => {
          if (event.type === 'say') sendBack({ type: 'ECHO', text: `${input.prefix}${event.text}` })
        })
        return () => effects.push('disposed')
      })
      return setup({ types: { context: { heard: [] as string[] } }, actors: { echo } }).createMachine({
        id: 'cave',
        context: { heard: [] },
        initial: 'inside',
        states: {
          inside: {
            invoke: { src: 'echo', id: 'echo', input: { prefix: '…' } },
            on: { SAY: { actions: sendTo('echo', ({ event }) => ({ type: 'say', text: event.text })) }, LEAVE: 'outside' },
          },
          outside: {},
        },
        on: { ECHO: { actions: assign({ heard: ({ context, event }) => [...context.heard, event.text] }) } },
      })
    },
    script: [send('SAY', { text: 'hello' }), send('SAY', { text: 'anybody' }), send('LEAVE'), send('SAY', { text: 'there' })],
    expect({ final, effects }) {
      assert.deepEqual([final.value, final.context, final.children], ['outside', { heard: ['…hello', '…anybody'] }, {}])
      assert.deepEqual(effects, ['disposed'])
    },
  },
  {
    name: 'a callback answers later',
    idempotent: 'After a restart it asks again, and answers once: the gate that it waits at stays open.',
    machine: (world) => {
      const ask = fromCallback(({ sendBack }) => {
        let isStopped = false
        void world.gate('answer').then(() => {
          if (!isStopped) sendBack({ type: 'ANSWERED' })
        })
        return () => {
          isStopped = true
        }
      })
      return setup({ actors: { ask } }).createMachine({
        id: 'question',
        initial: 'idle',
        states: {
          idle: { on: { ASK: 'asking' } },
          asking: { invoke: { src: 'ask' }, on: { ANSWERED: 'answered' } },
          answered: { type: 'final' },
        },
      })
    },
    script: [send('ASK'), send('UNKNOWN'), settle('answer')],
    expect({ final, snapshots }) {
      assert.deepEqual([snapshots[2]?.value, final.status], ['asking', 'done'])
    },
  },
  {
    name: 'an observable shares its values and completes',
    idempotent: 'After a restart it begins again; its values are kept as the set of those seen.',
    machine: (world) => {
      const prices = fromObservable(({ input }: { input: { base: number } }) =>
        fromValues([input.base, input.base + 1, input.base + 2], (index) => world.gate(`price ${index}`)),
      )
      return setup({ types: { context: { seen: [] as number[] } }, actors: { prices } }).createMachine({
        id: 'ticker',
        context: { seen: [] },
        initial: 'watching',
        states: {
          watching: {
            invoke: {
              src: 'prices',
              id: 'prices',
              input: { base: 70 },
              onSnapshot: {
                guard: ({ event }) => event.snapshot.context !== undefined,
                actions: assign({ seen: ({ context, event }) => [...new Set([...context.seen, event.snapshot.context ?? 0])] }),
              },
              onDone: 'closed',
            },
          },
          closed: {},
        },
      })
    },
    script: [settle('price 0'), settle('price 1'), settle('price 2')],
    expect({ final, snapshots }) {
      assert.deepEqual([snapshots[2]?.value, snapshots[2]?.context], ['watching', { seen: [70, 71] }])
      assert.deepEqual([final.value, final.context], ['closed', { seen: [70, 71, 72] }])
    },
  },
  {
    name: 'an observable of events sends them to its parent',
    idempotent: 'After a restart its events come again; each names what it sets.',
    machine: (world) => {
      const keys = fromEventObservable(() =>
        fromValues(
          [
            { type: 'KEY', key: 'a' },
            { type: 'KEY', key: 'b' },
          ],
          (index) => world.gate(`key ${index}`),
        ),
      )
      return setup({ types: { context: { pressed: {} as Record<string, true> } }, actors: { keys } }).createMachine({
        id: 'keyboard',
        context: { pressed: {} },
        initial: 'on',
        states: { on: { invoke: { src: 'keys', id: 'keys', onDone: 'off' } }, off: {} },
        on: {
          KEY: { actions: assign({ pressed: ({ context, event }) => ({ ...context.pressed, [event.key]: true as const }) }) },
        },
      })
    },
    script: [settle('key 0'), settle('key 1')],
    expect({ final, snapshots }) {
      assert.deepEqual([snapshots[1]?.value, snapshots[1]?.context], ['on', { pressed: { a: true } }])
      assert.deepEqual([final.value, final.context], ['off', { pressed: { a: true, b: true } }])
    },
  },
  {
    name: 'an observable that fails is handled by its parent',
    idempotent: 'After a restart it fails again, in the same way.',
    machine: (world) => {
      const broken = fromObservable(() =>
        fromValues([0], async () => {
          await world.gate('line')
          throw new RangeError('the line is dead')
        }),
      )
      return setup({ types: { context: { reason: '' } }, actors: { broken } }).createMachine({
        id: 'phone',
        context: { reason: '' },
        initial: 'calling',
        states: {
          calling: {
            invoke: {
              src: 'broken',
              onError: { target: 'failed', actions: assign({ reason: ({ event }) => (event.error as Error).message }) },
            },
          },
          failed: {},
        },
      })
    },
    script: [send('UNKNOWN'), settle('line')],
    expect({ final }) {
      assert.deepEqual([final.value, final.context], ['failed', { reason: 'the line is dead' }])
    },
  },
  {
    name: 'a parent hears each snapshot of the children that are in step with it',
    machine: () => {
      const dial = setup({ types: { context: { volume: 0 } } }).createMachine({
        id: 'dial',
        context: { volume: 0 },
        on: { TURN: { actions: assign({ volume: ({ context, event }) => context.volume + event.by }) } },
      })
      return setup({ types: { context: { invoked: [] as number[], spawned: [] as number[] } }, actors: { dial } }).createMachine({
        id: 'radio',
        context: { invoked: [], spawned: [] },
        entry: spawnChild('dial', { id: 'second', syncSnapshot: true }),
        invoke: {
          src: 'dial',
          id: 'first',
          onSnapshot: {
            actions: assign({ invoked: ({ context, event }) => [...context.invoked, event.snapshot.context.volume] }),
          },
        },
        on: {
          TURN: {
            actions: [sendTo('first', ({ event }) => event), sendTo('second', ({ event }) => ({ ...event, by: event.by * 10 }))],
          },
          FINE: { actions: sendTo('first', ({ event }) => ({ type: 'TURN', by: event.by })) },
          SILENCE: { actions: stopChild('second') },
          'xstate.snapshot.second': {
            actions: assign({ spawned: ({ context, event }) => [...context.spawned, event.snapshot.context.volume] }),
          },
        },
      })
    },
    script: [send('TURN', { by: 1 }), send('TURN', { by: 2 }), send('SILENCE'), send('FINE', { by: 3 })],
    expect({ final }) {
      assert.deepEqual(final.context, { invoked: [0, 1, 3, 6], spawned: [0, 10, 30] })
    },
  },
  {
    name: 'a parent follows the latest snapshot of a child',
    machine: () => {
      const dial = setup({ types: { context: { volume: 0 } } }).createMachine({
        id: 'dial',
        context: { volume: 0 },
        on: { TURN: { actions: assign({ volume: ({ context, event }) => context.volume + event.by }) } },
      })
      return setup({ types: { context: { volume: -1, spawned: -1 } }, actors: { dial } }).createMachine({
        id: 'radio',
        context: { volume: -1, spawned: -1 },
        invoke: {
          src: 'dial',
          id: 'first',
          onSnapshot: { actions: assign({ volume: ({ event }) => event.snapshot.context.volume }) },
        },
        entry: assign({
          spawned: ({ context, spawn }) => (spawn('dial', { id: 'second', syncSnapshot: true }) ? context.spawned : 0),
        }),
        on: {
          TURN: {
            actions: [sendTo('first', ({ event }) => event), sendTo('second', ({ event }) => ({ ...event, by: event.by * 10 }))],
          },
          'xstate.snapshot.second': { actions: assign({ spawned: ({ event }) => event.snapshot.context.volume }) },
        },
      })
    },
    script: [send('TURN', { by: 1 }), send('TURN', { by: 2 })],
    expect({ final }) {
      assert.deepEqual(final.context, { volume: 3, spawned: 30 })
    },
  },
  {
    name: 'stores and transitions are spawned many times and reached by reference',
    machine: () => {
      const cell = fromStore({ context: { value: 0 }, on: { set: (_, event: { value: number }) => ({ value: event.value }) } })
      const toggle = fromTransition((on: boolean, event: { type: string }) => (event.type === 'flip' ? !on : on), false)
      return setup({ types: { context: { cells: {} as Record<string, AnyActorRef> } }, actors: { cell, toggle } }).createMachine({
        id: 'sheet',
        context: ({ spawn }) => ({ cells: { a1: spawn('cell', { id: 'a1' }) } }),
        on: {
          CELL: {
            actions: assign({
              cells: ({ context, spawn, event }) => ({ ...context.cells, [event.at]: spawn('cell', { id: event.at }) }),
            }),
          },
          SWITCH: {
            actions: assign({
              cells: ({ context, spawn, event }) => ({ ...context.cells, [event.at]: spawn('toggle', { id: event.at }) }),
            }),
          },
          SET: {
            actions: sendTo(
              ({ context, event }) => context.cells[event.at] as AnyActorRef,
              ({ event }) => ({ type: 'set', value: event.value }),
            ),
          },
          FLIP: { actions: sendTo(({ context, event }) => context.cells[event.at] as AnyActorRef, { type: 'flip' }) },
        },
      })
    },
    script: [
      send('CELL', { at: 'b2' }),
      send('SET', { at: 'b2', value: 7 }),
      send('SWITCH', { at: 's' }),
      send('FLIP', { at: 's' }),
      send('SET', { at: 'a1', value: 1 }),
    ],
    expect({ final }) {
      const contexts = Object.fromEntries(
        Object.entries(final.children ?? {}).map(([id, { snapshot }]) => [id, snapshot.context]),
      )
      assert.deepEqual(contexts, { a1: { value: 1 }, b2: { value: 7 }, s: true })
    },
  },
]
