import assert from 'node:assert/strict'
import {
  type AnyActorRef,
  assign,
  createMachine,
  emit,
  enqueueActions,
  fromCallback,
  fromPromise,
  raise,
  sendParent,
  sendTo,
  setup,
  stopChild,
} from 'xstate'
import { advance, type ConformanceCase, send, settle } from '../case.ts'

const echo = () =>
  setup({ types: { context: { got: [] as string[] } } }).createMachine({
    id: 'echo',
    context: { got: [] },
    on: { '*': { actions: assign({ got: ({ context, event }) => [...context.got, event.type] }) } },
  })

/** Who knows whom: references in contexts, inputs and events. */
export const referenceCases: readonly ConformanceCase[] = [
  {
    name: 'a child answers whoever asked, by the reference in its input',
    machine: () => {
      const clerk = setup({
        types: { context: {} as { parent: AnyActorRef }, input: {} as { parent: AnyActorRef } },
      }).createMachine({
        id: 'clerk',
        context: ({ input }) => ({ parent: input.parent }),
        on: {
          ASK: {
            actions: sendTo(
              ({ context }) => context.parent,
              ({ event }) => ({ type: 'ANSWER', text: `${event.question}?` }),
            ),
          },
        },
      })
      return setup({ types: { context: { answers: [] as string[] } }, actors: { clerk } }).createMachine({
        id: 'desk',
        context: { answers: [] },
        invoke: { src: 'clerk', id: 'clerk', input: ({ self }) => ({ parent: self }) },
        on: {
          ASK: { actions: sendTo('clerk', ({ event }) => event) },
          ANSWER: { actions: assign({ answers: ({ context, event }) => [...context.answers, event.text] }) },
        },
      })
    },
    script: [send('ASK', { question: 'Why' }), send('ASK', { question: 'When' })],
    expect({ final }) {
      assert.deepEqual(final.context, { answers: ['Why?', 'When?'] })
    },
  },
  {
    name: 'siblings know each other by reference',
    machine: () => {
      const player = setup({ types: { context: {} as { partner: AnyActorRef | undefined; hits: number } } }).createMachine({
        id: 'player',
        context: { partner: undefined, hits: 0 },
        on: {
          MEET: { actions: assign({ partner: ({ event }) => event.partner }) },
          BALL: {
            actions: [
              assign({ hits: ({ context }) => context.hits + 1 }),
              enqueueActions(({ context, event, enqueue }) => {
                if (event.left > 0 && context.partner !== undefined)
                  enqueue.sendTo(context.partner, { type: 'BALL', left: event.left - 1 })
              }),
            ],
          },
        },
      })
      return setup({ types: { context: {} as { a: AnyActorRef; b: AnyActorRef } }, actors: { player } }).createMachine({
        id: 'table',
        context: ({ spawn }) => ({ a: spawn('player', { id: 'a' }), b: spawn('player', { id: 'b' }) }),
        entry: [
          sendTo(
            ({ context }) => context.a,
            ({ context }) => ({ type: 'MEET', partner: context.b }),
          ),
          sendTo(
            ({ context }) => context.b,
            ({ context }) => ({ type: 'MEET', partner: context.a }),
          ),
        ],
        on: { SERVE: { actions: sendTo('a', { type: 'BALL', left: 4 }) } },
      })
    },
    script: [send('SERVE'), send('SERVE')],
    expect({ final }) {
      assert.deepEqual(final.children?.a?.snapshot.context, { partner: { actor: 'b' }, hits: 6 })
      assert.deepEqual(final.children?.b?.snapshot.context, { partner: { actor: 'a' }, hits: 4 })
    },
  },
  {
    name: 'references may be kept in a Map',
    machine: () =>
      setup({ types: { context: { byName: new Map<string, AnyActorRef>() } }, actors: { echo: echo() } }).createMachine({
        id: 'directory',
        context: { byName: new Map() },
        on: {
          ADD: {
            actions: assign({
              byName: ({ context, event, spawn }) =>
                new Map([...context.byName, [event.name, spawn('echo', { id: event.name })]]),
            }),
          },
          CALL: { actions: sendTo(({ context, event }) => context.byName.get(event.name) as AnyActorRef, { type: 'called' }) },
        },
      }),
    script: [send('ADD', { name: 'ada' }), send('ADD', { name: 'bob' }), send('CALL', { name: 'ada' })],
    expect({ final }) {
      assert.deepEqual(final.context, {
        byName: new Map([
          ['ada', { actor: 'ada' }],
          ['bob', { actor: 'bob' }],
        ]),
      })
      assert.deepEqual(final.children?.ada?.snapshot.context, { got: ['called'] })
    },
  },
  {
    name: 'a promise reports to the reference in its input',
    idempotent: 'After a restart it is asked for again; what it reports is kept as the latest.',
    machine: (world) => {
      const load = fromPromise(async ({ input }: { input: { parent: AnyActorRef } }) => {
        await world.gate('half')
        input.parent.send({ type: 'PROGRESS', percent: 50 })
        await world.gate('full')
        return 'loaded'
      })
      return setup({ types: { context: { percent: 0 } }, actors: { load } }).createMachine({
        id: 'loader',
        context: { percent: 0 },
        initial: 'loading',
        states: {
          loading: { invoke: { src: 'load', input: ({ self }) => ({ parent: self }), onDone: 'loaded', onError: 'failed' } },
          loaded: {},
          failed: {},
        },
        on: { PROGRESS: { actions: assign({ percent: ({ event }) => event.percent }) } },
      })
    },
    script: [send('UNKNOWN'), settle('half'), settle('full')],
    expect({ final }) {
      assert.deepEqual([final.value, final.context], ['loaded', { percent: 50 }])
    },
  },
  {
    name: 'a delayed event carries the reference of who is to be answered',
    machine: () => {
      const asker = setup({ types: { context: { answers: 0 } } }).createMachine({
        id: 'asker',
        context: { answers: 0 },
        on: {
          GO: { actions: sendParent(({ self }) => ({ type: 'QUESTION', from: self })) },
          ANSWER: { actions: assign({ answers: ({ context }) => context.answers + 1 }) },
        },
      })
      return setup({ actors: { asker } }).createMachine({
        id: 'oracle',
        invoke: { src: 'asker', id: 'asker' },
        on: {
          GO: { actions: sendTo('asker', { type: 'GO' }) },
          QUESTION: { actions: raise(({ event }) => ({ type: 'THOUGHT', for: event.from }), { delay: 100 }) },
          THOUGHT: { actions: sendTo(({ event }) => event.for, { type: 'ANSWER' }) },
        },
      })
    },
    script: [send('GO'), advance(60), advance(60)],
    expect({ final }) {
      assert.deepEqual(final.children?.asker?.snapshot.context, { answers: 1 })
    },
  },
  {
    name: 'enqueued actions spawn, send, emit and stop',
    machine: () =>
      setup({
        types: { context: { n: 0 }, emitted: {} as { type: 'spawned' | 'stopped'; id: string } },
        actors: { echo: echo() },
      }).createMachine({
        id: 'swarm',
        context: { n: 0 },
        on: {
          MORE: {
            actions: enqueueActions(({ context, event, enqueue }) => {
              for (let n = context.n; n < context.n + event.count; n++) {
                enqueue.spawnChild('echo', { id: `bee-${n}` })
                enqueue.sendTo(`bee-${n}`, { type: 'hello' })
                enqueue.emit({ type: 'spawned', id: `bee-${n}` })
              }
              enqueue.assign({ n: context.n + event.count })
            }),
          },
          LESS: { actions: [stopChild(({ event }) => event.id), emit(({ event }) => ({ type: 'stopped', id: event.id }))] },
        },
      }),
    script: [send('MORE', { count: 2 }), send('LESS', { id: 'bee-0' }), send('MORE', { count: 1 })],
    expect({ final, emitted }) {
      assert.deepEqual(
        Object.entries(final.children ?? {}).map(([id, { snapshot }]) => [id, snapshot.context]),
        [
          ['bee-1', { got: ['hello'] }],
          ['bee-2', { got: ['hello'] }],
        ],
      )
      assert.deepEqual(
        emitted.map(({ type, id }) => `${type} ${id}`),
        ['spawned bee-0', 'spawned bee-1', 'stopped bee-0', 'spawned bee-2'],
      )
    },
  },
  {
    name: 'invoked logic without a name is found again by its place',
    idempotent: 'The callback keeps nothing.',
    machine: () => {
      const inner = setup({ types: { context: { n: 0 } } }).createMachine({
        id: 'inner',
        context: { n: 0 },
        on: { INC: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
      })
      return createMachine({
        types: { context: { pongs: 0 } },
        id: 'inline',
        context: { pongs: 0 },
        invoke: [
          { src: inner, id: 'inner' },
          { src: fromCallback(({ receive, sendBack }) => receive(() => sendBack({ type: 'PONG' }))), id: 'ping' },
        ],
        on: {
          INC: { actions: sendTo('inner', { type: 'INC' }) },
          PING: { actions: sendTo('ping', { type: 'PING' }) },
          PONG: { actions: assign({ pongs: ({ context }) => context.pongs + 1 }) },
        },
      })
    },
    script: [send('INC'), send('PING'), send('INC')],
    expect({ final }) {
      assert.deepEqual([final.context, final.children?.inner?.snapshot.context], [{ pongs: 1 }, { n: 2 }])
    },
  },
]
