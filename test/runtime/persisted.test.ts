import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  type AnyActorLogic,
  type AnyActorRef,
  assign,
  createActor,
  createMachine,
  fromCallback,
  fromObservable,
  fromPromise,
  fromTransition,
  type Snapshot,
  sendTo,
  setup,
  stopChild,
} from 'xstate'
import { isPerdureError } from '../../src/errors.ts'
import { decodeRecord, encodeRecord } from '../../src/persistence/codec.ts'
import { createDelta } from '../../src/persistence/delta.ts'
import { fromStorable, toStorable } from '../../src/persistence/storable.ts'
import { readPersisted } from '../../src/runtime/persisted.ts'
import { restoreActor } from '../../src/runtime/restore.ts'

type Event = { readonly type: string; readonly n?: number }
interface Context {
  readonly count: number
  readonly items: readonly number[]
  readonly refs: readonly AnyActorRef[]
  readonly named: Readonly<Record<string, AnyActorRef>>
}

const counter = createMachine({
  id: 'counter',
  context: { count: 0 },
  types: { context: {} as { count: number }, events: {} as Event }, // phantom types, as XState wants them
  initial: 'on',
  on: { add: { actions: assign({ count: ({ context }) => context.count + 1 }) } },
  states: { on: { on: { off: 'off' } }, off: { type: 'final' } },
  output: ({ context }) => context.count,
})
const never = fromPromise<number, { n: number }>(() => new Promise(() => {}))

const hasChild = ({ context }: { context: Context }): boolean => context.refs[0]?.getSnapshot().status === 'active'

const all = setup({
  types: { context: {} as Context, events: {} as Event }, // phantom types, as XState wants them
  actors: {
    counter,
    never,
    quick: fromPromise(async () => 7),
    failing: fromPromise(async () => Promise.reject(new TypeError('no'))),
    callback: fromCallback(() => {}),
    observable: fromObservable(() => ({ subscribe: () => ({ unsubscribe() {} }) })),
    reducer: fromTransition((state: { sum: number }, event: Event) => ({ sum: state.sum + (event.n ?? 0) }), { sum: 0 }),
  },
}).createMachine({
  id: 'all',
  context: { count: 0, items: [], refs: [], named: {} },
  type: 'parallel',
  on: {
    add: {
      actions: assign({
        count: ({ context }) => context.count + 1,
        items: ({ context, event }) => [...context.items, event.n ?? 0],
      }),
    },
    spawn: {
      actions: assign({
        refs: ({ context, spawn }) => [
          ...context.refs,
          spawn('counter', { id: `child ${context.refs.length}`, systemId: `system ${context.refs.length}` }),
        ],
      }),
    },
    name: {
      actions: assign({
        named: ({ spawn }) => ({ reducer: spawn('reducer', { id: 'reducer' }), callback: spawn('callback', { id: 'callback' }) }),
      }),
    },
    forward: { guard: hasChild, actions: sendTo(({ context }) => context.refs[0] as AnyActorRef, { type: 'add' }) }, // only sent when there is one
    sum: { actions: sendTo('reducer', { type: 'sum', n: 5 }) },
    'end child': { guard: hasChild, actions: sendTo('child 0', { type: 'off' }) },
    'stop child': { actions: stopChild('child 0') },
  },
  states: {
    deep: {
      initial: 'one',
      on: { leave: '.away', quick: '.quick', fail: '.fail' },
      states: {
        one: {
          initial: 'a',
          states: {
            a: { on: { next: 'b' } },
            b: { invoke: { src: 'never', id: 'never', input: ({ context }) => ({ n: context.count }) } },
            hist: { type: 'history', history: 'deep' },
          },
        },
        away: { on: { back: 'one.hist' } },
        quick: { invoke: { src: 'quick', onDone: { actions: assign({ count: ({ event }) => event.output }) } } },
        fail: { invoke: { src: 'failing', onError: { target: 'away' } } },
      },
    },
    watch: {
      invoke: [
        { src: 'observable', id: 'observable' },
        { src: 'counter', id: 'nested' },
      ],
    },
  },
})

/** What a person sees: refs as markers, no undefined, no stacks. */
const normal = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(fromStorable(toStorable(value)), (key, item: unknown) => (key === 'stack' ? undefined : item)))
const store = (value: unknown): Snapshot<unknown> => decodeRecord('key', encodeRecord('key', value)) as Snapshot<unknown> // what was persisted

/** What XState does not have: the names of children in their run. */
const withoutNames = (persisted: unknown): unknown => {
  if (typeof persisted !== 'object' || persisted === null || !('children' in persisted)) return persisted
  const children = Object.entries(persisted.children as Record<string, Record<string, unknown>>).map(([id, child]) => {
    const { sessionId, ...rest } = child
    assert.equal(typeof sessionId, 'string')
    return [id, { ...rest, snapshot: withoutNames(rest.snapshot) }] as const
  })
  return { ...persisted, children: Object.fromEntries(children) }
}

function assertSame(actor: AnyActorRef): void {
  const persisted = withoutNames(readPersisted(actor))
  assert.deepEqual(normal(persisted), normal(actor.getPersistedSnapshot()))
  assert.deepEqual(store(persisted), store(actor.getPersistedSnapshot()))
}
const restore = (logic: AnyActorLogic, snapshot: unknown): AnyActorRef =>
  createActor(logic, { snapshot: store(snapshot) }).start()
const send = (actor: AnyActorRef, ...types: readonly string[]): void => {
  for (const [n, type] of types.entries()) actor.send({ type, n })
}

describe('the persisted state of a machine', () => {
  const histories: Readonly<Record<string, readonly string[]>> = {
    'at its start': [],
    'nested and parallel, with an invoked promise': ['next', 'add', 'add'],
    'with a history': ['next', 'leave'],
    'back in its history': ['next', 'leave', 'back'],
    'with spawned machines in its context': ['spawn', 'spawn', 'forward', 'forward'],
    'with a spawned machine that is done': ['spawn', 'spawn', 'end child'],
    'with a spawned machine that was stopped': ['spawn', 'spawn', 'stop child'],
    'with other logic in its context': ['name', 'sum', 'sum'],
    'with a promise that has settled': ['quick'],
    'with a promise that has failed': ['fail'],
  }
  for (const [name, events] of Object.entries(histories))
    it(`is what XState gives, and goes on as from there: ${name}`, async () => {
      const actor = createActor(all).start()
      send(actor, ...events)
      assertSame(actor)
      await new Promise(setImmediate)
      assertSame(actor)
      const ours = restore(all, readPersisted(actor))
      const theirs = restore(all, actor.getPersistedSnapshot())
      for (const more of [[], ['add'], ['spawn', 'forward'], ['leave', 'back'], ['next', 'end child'], ['leave', 'fail']]) {
        send(ours, ...more)
        send(theirs, ...more)
        await new Promise(setImmediate)
        assertSame(ours)
        assert.deepEqual(store(withoutNames(readPersisted(ours))), store(theirs.getPersistedSnapshot()))
      }
    })

  it('keeps the output of one that is done', () => {
    const actor = createActor(counter).start()
    send(actor, 'add', 'add', 'off')
    assertSame(actor)
    const again = restore(counter, readPersisted(actor)).getSnapshot()
    assert.deepEqual([again.status, again.output], ['done', 2])
  })

  it('keeps the error of one that failed', () => {
    const broken = createMachine({
      on: {
        fail: {
          actions: () => {
            throw new RangeError('broken')
          },
        },
      },
    })
    const actor = createActor(broken)
    actor.subscribe({ error: () => {} })
    actor.start()
    send(actor, 'fail')
    assertSame(actor)
    const { status, error } = store(readPersisted(actor))
    assert.deepEqual([status, error], ['error', new RangeError('broken')])
    assert.equal(Object.getPrototypeOf(error), RangeError.prototype)
  })

  it('of logic that is no machine is what XState gives', () => {
    const actor = createActor(fromTransition((state: number) => state + 1, 0)).start()
    send(actor, 'any')
    assertSame(actor)
  })

  it('is the same objects where nothing changed, also after a restore: nothing is written then', () => {
    const actor = createActor(all).start()
    send(actor, 'next', 'add', 'spawn', 'name')
    assert.equal(createDelta(readPersisted(actor), readPersisted(actor)).patch, null)
    const stored = store(readPersisted(actor))
    const again = restoreActor('run', all, { actor: stored, timers: [], steps: 0, actors: 0 }).start()
    assert.equal(createDelta(stored, readPersisted(again)).patch, null)
    const before = readPersisted(again)
    send(again, 'add')
    assert.deepEqual(createDelta(before, readPersisted(again)).references, [])
    assert.ok(encodeRecord('key', createDelta(before, readPersisted(again))).byteLength < 120)
  })
})

describe('an inline child', () => {
  const isNamed =
    (id: string) =>
    (error: unknown): boolean =>
      isPerdureError(error, 'VALUE_NOT_STORABLE') &&
      error.message.includes(`\`${id}\``) &&
      /setup\(\{ actors \}\)/.test(error.message)

  it('that was spawned is refused by its name, wherever it is', () => {
    const inner = createMachine({ entry: assign({ ref: ({ spawn }) => spawn(counter, { id: 'inline one' }) }) })
    assert.throws(() => readPersisted(createActor(inner).start()), isNamed('inline one'))
    const outer = setup({ actors: { inner } }).createMachine({ invoke: { src: 'inner', id: 'inner' } })
    assert.throws(() => readPersisted(createActor(outer).start()), isNamed('inline one'))
  })

  it('that was invoked has a name by its place and is restored', () => {
    const machine = createMachine({ id: 'm', initial: 'a', states: { a: { invoke: { src: counter, id: 'inline' } } } })
    const actor = createActor(machine).start()
    ;(actor.getSnapshot().children.inline as AnyActorRef).send({ type: 'add' }) // it is there
    assertSame(actor)
    const again = restore(machine, readPersisted(actor))
    assert.equal(again.getSnapshot().children.inline.getSnapshot().context.count, 1)
  })
})
