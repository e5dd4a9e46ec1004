import assert from 'node:assert/strict'
import { type ActorRefFrom, type AnyActorRef, assign, forwardTo, sendParent, sendTo, setup, spawnChild, stopChild } from 'xstate'
import { advance, type ConformanceCase, send } from '../case.ts'

const counter = () =>
  setup({ types: { context: { count: 0 }, input: {} as { from?: number } | undefined } }).createMachine({
    id: 'counter',
    context: ({ input }) => ({ count: input?.from ?? 0 }),
    initial: 'on',
    states: {
      on: { on: { INC: { actions: assign({ count: ({ context, event }) => context.count + (event.by ?? 1) }) }, END: 'off' } },
      off: { type: 'final' },
    },
    output: ({ context }) => context.count,
  })

/** Machines that invoke, spawn and stop machines. */
export const childMachineCases: readonly ConformanceCase[] = [
  {
    name: 'an invoked machine takes input, gets events and gives output',
    machine: () =>
      setup({ types: { context: { start: 0, result: null as unknown } }, actors: { counter: counter() } }).createMachine({
        id: 'parent',
        context: ({ input }) => ({ start: (input as { start: number }).start, result: null }),
        initial: 'idle',
        states: {
          idle: { on: { GO: 'counting' } },
          counting: {
            invoke: {
              src: 'counter',
              id: 'counter',
              input: ({ context, event }) => ({ from: context.start + event.bonus }),
              onDone: { target: 'counted', actions: assign({ result: ({ event }) => event.output }) },
            },
            on: {
              ADD: { actions: sendTo('counter', ({ event }) => ({ type: 'INC', by: event.by })) },
              FINISH: { actions: sendTo('counter', { type: 'END' }) },
            },
          },
          counted: { type: 'final' },
        },
        output: ({ context }) => ({ total: context.result }),
      }),
    input: { start: 10 },
    script: [send('GO', { bonus: 5 }), send('ADD', { by: 2 }), send('ADD', { by: 3 }), send('FINISH')],
    expect({ snapshots, final, output }) {
      assert.deepEqual(snapshots[3]?.children?.counter?.snapshot.context, { count: 20 })
      assert.deepEqual([final.status, output], ['done', { total: 20 }])
    },
  },
  {
    name: 'actors that were spawned in an assignment are reached and stopped by reference',
    machine: () => {
      const worker = counter()
      return setup({
        types: { context: { workers: [] as ActorRefFrom<typeof worker>[], made: 0 } },
        actors: { worker },
      }).createMachine({
        id: 'pool',
        context: { workers: [], made: 0 },
        on: {
          HIRE: {
            actions: assign(({ context, spawn }) => ({
              workers: [
                ...context.workers,
                spawn('worker', { id: `worker-${context.made}`, input: { from: context.made * 100 } }),
              ],
              made: context.made + 1,
            })),
          },
          WORK: { actions: sendTo(({ context, event }) => context.workers[event.n] as AnyActorRef, { type: 'INC' }) },
          FIRE: {
            actions: [
              stopChild(({ context, event }) => context.workers[event.n] as AnyActorRef),
              assign({ workers: ({ context, event }) => context.workers.filter((_, n) => n !== event.n) }),
            ],
          },
        },
      })
    },
    script: [
      send('HIRE'),
      send('HIRE'),
      send('HIRE'),
      send('WORK', { n: 1 }),
      send('FIRE', { n: 0 }),
      send('WORK', { n: 0 }),
      send('WORK', { n: 1 }),
      send('HIRE'),
    ],
    expect({ final }) {
      assert.deepEqual(final.context, { workers: [{ actor: 'worker-1' }, { actor: 'worker-2' }, { actor: 'worker-3' }], made: 4 })
      const counts = Object.values(final.children ?? {}).map(({ snapshot }) => snapshot.context)
      assert.deepEqual(counts, [{ count: 102 }, { count: 201 }, { count: 300 }])
    },
  },
  {
    name: 'actors that were spawned by an action are stopped by id, and started anew under the same id',
    machine: () =>
      setup({ actors: { counter: counter() } }).createMachine({
        id: 'spawner',
        entry: spawnChild('counter', { id: 'first', input: { from: 1 } }),
        on: {
          SPAWN: {
            actions: spawnChild('counter', { id: ({ event }) => event.id, input: ({ event }) => ({ from: event.from }) }),
          },
          STOP: { actions: stopChild(({ event }) => event.id) },
          INC: { actions: sendTo(({ event }) => event.id, { type: 'INC' }) },
        },
      }),
    script: [
      send('SPAWN', { id: 'second', from: 20 }),
      send('INC', { id: 'second' }),
      send('STOP', { id: 'first' }),
      send('INC', { id: 'second' }),
      send('SPAWN', { id: 'first', from: 5 }),
    ],
    expect({ final, snapshots }) {
      assert.deepEqual(Object.keys(snapshots[3]?.children ?? {}), ['second'])
      assert.deepEqual(
        [final.children?.first?.snapshot.context, final.children?.second?.snapshot.context],
        [{ count: 5 }, { count: 22 }],
      )
    },
  },
  {
    name: 'children without an id of their own stay apart',
    machine: () => {
      const worker = counter()
      return setup({ types: { context: { all: [] as ActorRefFrom<typeof worker>[] } }, actors: { worker } }).createMachine({
        id: 'anonymous',
        context: { all: [] },
        on: {
          ADD: { actions: assign({ all: ({ context, spawn }) => [...context.all, spawn('worker')] }) },
          INC: { actions: sendTo(({ context, event }) => context.all[event.n] as AnyActorRef, { type: 'INC' }) },
        },
      })
    },
    script: [send('ADD'), send('ADD'), send('INC', { n: 1 }), send('ADD'), send('INC', { n: 2 }), send('INC', { n: 2 })],
    expect({ final }) {
      assert.deepEqual(final.context, { all: [{ actor: 'unnamed-1' }, { actor: 'unnamed-2' }, { actor: 'unnamed-3' }] })
      assert.deepEqual(
        Object.values(final.children ?? {}).map(({ snapshot }) => snapshot.context),
        [{ count: 0 }, { count: 1 }, { count: 2 }],
      )
    },
  },
  {
    name: 'a tree of machines passes events down and up, with timers at its leaves',
    machine: () => {
      const leaf = setup({ types: { context: { name: '' }, input: { name: '' } } }).createMachine({
        id: 'leaf',
        context: ({ input }) => ({ name: input.name }),
        initial: 'bud',
        states: {
          bud: { on: { SUN: 'opening' } },
          opening: { after: { 100: 'open' } },
          open: { entry: sendParent(({ context }) => ({ type: 'OPENED', leaf: context.name })) },
        },
      })
      const branch = setup({ types: { context: { opened: [] as string[] } }, actors: { leaf } }).createMachine({
        id: 'branch',
        context: { opened: [] },
        entry: [
          spawnChild('leaf', { id: 'left', input: { name: 'left' } }),
          spawnChild('leaf', { id: 'right', input: { name: 'right' } }),
        ],
        on: {
          SUN: { actions: [forwardTo('left'), forwardTo('right')] },
          SHADE: { actions: stopChild('right') },
          OPENED: {
            actions: [
              assign({ opened: ({ context, event }) => [...context.opened, event.leaf] }),
              sendParent(({ event }) => ({ type: 'SEEN', path: `branch/${event.leaf}` })),
            ],
          },
        },
      })
      const trunk = setup({ types: { context: { seen: [] as string[] } }, actors: { branch } }).createMachine({
        id: 'trunk',
        context: { seen: [] },
        invoke: { src: 'branch', id: 'branch' },
        on: {
          SUN: { actions: forwardTo('branch') },
          SHADE: { actions: forwardTo('branch') },
          SEEN: {
            actions: [assign({ seen: ({ context, event }) => [...context.seen, event.path] }), sendParent(({ event }) => event)],
          },
        },
      })
      return setup({ types: { context: { total: 0 } }, actors: { trunk } }).createMachine({
        id: 'tree',
        context: { total: 0 },
        invoke: { src: 'trunk', id: 'trunk' },
        on: {
          SUN: { actions: forwardTo('trunk') },
          SHADE: { actions: forwardTo('trunk') },
          SEEN: { actions: assign({ total: ({ context }) => context.total + 1 }) },
        },
      })
    },
    script: [send('SUN'), advance(60), send('SHADE'), advance(60)],
    expect({ final }) {
      const trunk = final.children?.trunk?.snapshot
      assert.deepEqual(trunk?.context, { seen: ['branch/left'] })
      assert.deepEqual(Object.keys(trunk?.children?.branch?.snapshot.children ?? {}), ['left'])
      assert.deepEqual(final.context, { total: 1 })
    },
  },
  {
    name: 'actors find each other by system id',
    machine: () => {
      const logger = setup({ types: { context: { lines: [] as string[] } } }).createMachine({
        id: 'logger',
        context: { lines: [] },
        on: { LOG: { actions: assign({ lines: ({ context, event }) => [...context.lines, event.line] }) } },
      })
      const worker = setup({}).createMachine({
        id: 'worker',
        on: {
          WORK: {
            actions: sendTo(
              ({ system }) => system.get('logger'),
              ({ event }) => ({ type: 'LOG', line: `worked on ${event.what}` }),
            ),
          },
        },
      })
      const team = setup({ actors: { worker } }).createMachine({
        id: 'team',
        invoke: { src: 'worker', id: 'worker', systemId: 'worker' },
      })
      return setup({ actors: { logger, team } }).createMachine({
        id: 'office',
        invoke: { src: 'team', id: 'team' },
        initial: 'open',
        states: {
          open: { entry: spawnChild('logger', { id: 'log', systemId: 'logger' }), on: { CLOSE: 'closed' } },
          closed: { entry: [stopChild('log')], on: { OPEN: 'open' } },
        },
        on: {
          WORK: {
            actions: sendTo(
              ({ system }) => system.get('worker'),
              ({ event }) => event,
            ),
          },
        },
      })
    },
    script: [send('WORK', { what: 'a' }), send('CLOSE'), send('OPEN'), send('WORK', { what: 'b' })],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[1]?.children?.log?.snapshot.context, { lines: ['worked on a'] })
      assert.deepEqual(final.children?.log?.snapshot.context, { lines: ['worked on b'] })
      assert.equal(final.children?.log?.systemId, 'logger')
    },
  },
  {
    name: 'regions invoke the same source, each with its own input, and leave one by one',
    machine: () => {
      const region = (id: string) =>
        ({
          initial: 'busy',
          states: {
            busy: {
              invoke: { src: 'counter' as const, id, input: { from: id.length }, onDone: 'idle' },
              on: { [`END.${id}`]: { actions: sendTo(id, { type: 'END' }) }, [`SKIP.${id}`]: 'idle' },
            },
            idle: { on: { [`AGAIN.${id}`]: 'busy' } },
          },
        }) as const
      return setup({ actors: { counter: counter() } }).createMachine({
        id: 'regions',
        type: 'parallel',
        states: { a: region('one'), b: region('three'), c: region('fifteen') },
        on: { INC: { actions: ['one', 'three', 'fifteen'].map((id) => sendTo(id, { type: 'INC', by: 10 })) } },
      })
    },
    script: [send('INC'), send('END.three'), send('SKIP.one'), send('AGAIN.one')],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[2]?.value, { a: 'busy', b: 'idle', c: 'busy' })
      assert.deepEqual(final.value, { a: 'busy', b: 'idle', c: 'busy' })
      assert.deepEqual(final.children?.fifteen?.snapshot.context, { count: 17 })
      assert.deepEqual(final.children?.one?.snapshot.context, { count: 3 })
    },
  },
  {
    name: 'an invoked machine without an id is reinvoked with its state',
    machine: () =>
      setup({ types: { context: { finished: 0 } }, actors: { counter: counter() } }).createMachine({
        id: 'loop',
        context: { finished: 0 },
        initial: 'round',
        states: {
          round: {
            invoke: {
              src: 'counter',
              input: ({ context }) => ({ from: context.finished }),
              onDone: {
                target: 'round',
                reenter: true,
                actions: assign({ finished: ({ event }) => (event.output as number) + 1 }),
              },
            },
            on: { END: { actions: sendTo('0.loop.round', { type: 'END' }) } },
          },
        },
      }),
    script: [send('END'), send('END')],
    expect({ final }) {
      assert.deepEqual(final.context, { finished: 2 })
      assert.deepEqual(final.children?.['0.loop.round']?.snapshot.context, { count: 2 })
    },
  },
]
