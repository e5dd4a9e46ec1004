import assert from 'node:assert/strict'
import { type AnyActorRef, assign, fromPromise, raise, sendParent, sendTo, setup, spawnChild, stopChild } from 'xstate'
import { advance, type ConformanceCase, send, settle } from '../case.ts'

const echo = () =>
  setup({ types: { context: { got: [] as string[] } } }).createMachine({
    id: 'echo',
    context: { got: [] },
    on: { '*': { actions: assign({ got: ({ context, event }) => [...context.got, event.type] }) } },
  })

/** What becomes of events, timers and references whose actor has gone. */
export const departureCases: readonly ConformanceCase[] = [
  {
    name: 'a delayed event to a child that has gone meanwhile is lost, and nothing else',
    machine: () =>
      setup({ types: { context: { ticks: 0 } }, actors: { echo: echo() } }).createMachine({
        id: 'late',
        context: { ticks: 0 },
        entry: [spawnChild('echo', { id: 'gone' }), spawnChild('echo', { id: 'here' })],
        on: {
          GO: {
            actions: [
              sendTo('gone', { type: 'late' }, { delay: 100 }),
              sendTo('here', { type: 'late' }, { delay: 100 }),
              raise({ type: 'TICK' }, { delay: 100 }),
            ],
          },
          STOP: { actions: stopChild('gone') },
          TICK: { actions: assign({ ticks: ({ context }) => context.ticks + 1 }) },
        },
      }),
    script: [send('GO'), send('STOP'), advance(50), advance(50)],
    expect({ final }) {
      assert.deepEqual([final.context, Object.keys(final.children ?? {})], [{ ticks: 1 }, ['here']])
      assert.deepEqual(final.children?.here?.snapshot.context, { got: ['late'] })
    },
  },
  {
    name: 'a delayed event does not come to the namesake of the child that it was for',
    machine: () =>
      setup({ actors: { echo: echo() } }).createMachine({
        id: 'namesakes',
        initial: 'on',
        states: {
          on: {
            invoke: { src: 'echo', id: 'ear' },
            on: { GO: { actions: sendTo('ear', { type: 'late' }, { delay: 100 }) }, AGAIN: { target: 'on', reenter: true } },
          },
        },
      }),
    script: [send('GO'), send('AGAIN'), advance(50), advance(50)],
    expect({ final }) {
      assert.deepEqual(final.children?.ear?.snapshot.context, { got: [] })
    },
  },
  {
    name: 'a tree that is cut takes its timers along, and is grown again under the same names',
    machine: () => {
      const leaf = setup({}).createMachine({
        id: 'leaf',
        initial: 'waiting',
        states: { waiting: { after: { 100: 'fallen' } }, fallen: { entry: sendParent({ type: 'FELL' }) } },
      })
      const branch = setup({ types: { context: {} as { leaf: AnyActorRef; fell: number } }, actors: { leaf } }).createMachine({
        id: 'branch',
        context: ({ spawn }) => ({ leaf: spawn('leaf', { id: 'leaf', systemId: 'the leaf' }), fell: 0 }),
        entry: sendParent({ type: 'GREW' }),
        on: { FELL: { actions: [assign({ fell: ({ context }) => context.fell + 1 }), sendParent({ type: 'FELL' })] } },
      })
      return setup({ types: { context: { grew: 0, fell: 0 } }, actors: { branch } }).createMachine({
        id: 'tree',
        context: { grew: 0, fell: 0 },
        on: {
          GROW: { actions: spawnChild('branch', { id: 'branch' }) },
          CUT: { actions: stopChild('branch') },
          GREW: { actions: assign({ grew: ({ context }) => context.grew + 1 }) },
          FELL: { actions: assign({ fell: ({ context }) => context.fell + 1 }) },
        },
      })
    },
    script: [send('GROW'), advance(60), send('CUT'), advance(20), send('GROW'), advance(60), advance(60)],
    expect({ final, snapshots }) {
      assert.deepEqual(snapshots[6]?.context, { grew: 2, fell: 0 })
      assert.deepEqual(final.context, { grew: 2, fell: 1 })
      assert.equal(final.children?.branch?.snapshot.children?.leaf?.snapshot.value, 'fallen')
      assert.equal(final.children?.branch?.snapshot.children?.leaf?.systemId, 'the leaf')
    },
  },
  {
    name: 'a reference to an actor that has gone leads nowhere',
    machine: () =>
      setup({
        types: { context: {} as { old: AnyActorRef } },
        actors: { echo: echo() },
      }).createMachine({
        id: 'mourner',
        context: ({ spawn }) => ({ old: spawn('echo', { id: 'king' }) }),
        on: {
          DIE: { actions: stopChild('king') },
          OLD: { actions: sendTo(({ context }) => context.old, { type: 'old' }) },
        },
      }),
    script: [send('OLD'), send('DIE'), send('OLD')],
    expect({ final }) {
      assert.deepEqual([final.status, final.context, final.children], ['active', { old: { actor: 'king' } }, {}])
    },
  },
  {
    name: 'a reference to an actor that has gone does not lead to its namesake',
    machine: () =>
      setup({
        types: { context: {} as { old: AnyActorRef; young: AnyActorRef | undefined } },
        actors: { echo: echo() },
      }).createMachine({
        id: 'heir',
        context: ({ spawn }) => ({ old: spawn('echo', { id: 'king' }), young: undefined }),
        on: {
          DIE: { actions: stopChild('king') },
          CROWN: { actions: assign({ young: ({ spawn }) => spawn('echo', { id: 'king' }) }) },
          OLD: { actions: sendTo(({ context }) => context.old, { type: 'old' }) },
          YOUNG: { actions: sendTo(({ context }) => context.young as AnyActorRef, { type: 'young' }) },
        },
      }),
    script: [send('DIE'), send('OLD'), send('CROWN'), send('OLD'), send('YOUNG')],
    expect({ final }) {
      assert.deepEqual(final.children?.king?.snapshot.context, { got: ['young'] })
    },
  },
  {
    name: 'the result of a promise is read from its reference',
    idempotent: 'It is read when it is done.',
    machine: (world) => {
      const job = fromPromise(async ({ input }: { input: number }) => {
        await world.gate('job')
        return input * 2
      })
      return setup({ types: { context: {} as { job: AnyActorRef; result: unknown } }, actors: { job } }).createMachine({
        id: 'reader',
        context: ({ spawn }) => ({ job: spawn('job', { id: 'job', input: 21 }), result: 'none' }),
        on: {
          READ: {
            actions: assign({ result: ({ context }) => [context.job.getSnapshot().status, context.job.getSnapshot().output] }),
          },
        },
      })
    },
    script: [send('READ'), settle('job'), send('READ')],
    expect({ final, snapshots }) {
      assert.deepEqual((snapshots[1]?.context as { result: unknown } | undefined)?.result, ['active', undefined])
      assert.deepEqual((final.context as { result: unknown }).result, ['done', 42])
    },
  },
  {
    name: 'the last state of a machine that was stopped is read from its reference',
    lostInRestart: 'Of an actor that has gone only its name is kept, not its last state.',
    machine: () =>
      setup({ types: { context: {} as { ear: AnyActorRef; heard: unknown } }, actors: { echo: echo() } }).createMachine({
        id: 'widow',
        context: ({ spawn }) => ({ ear: spawn('echo', { id: 'ear' }), heard: 'nothing' }),
        on: {
          SAY: { actions: sendTo('ear', ({ event }) => ({ type: event.word })) },
          STOP: { actions: stopChild('ear') },
          READ: {
            actions: assign({ heard: ({ context }) => [context.ear.getSnapshot().status, context.ear.getSnapshot().context] }),
          },
        },
      }),
    script: [send('SAY', { word: 'hush' }), send('STOP'), send('READ')],
    expect({ final }) {
      assert.deepEqual((final.context as { heard: unknown }).heard, ['stopped', { got: ['hush'] }])
    },
  },
]
