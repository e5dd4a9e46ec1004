import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type AnyActorLogic,
  type AnyStateMachine,
  createActor,
  createMachine,
  fromCallback,
  fromPromise,
  fromTransition,
  raise,
  type Snapshot,
  sendTo,
  spawnChild,
} from 'xstate'
import { dropOutlived, findMissing } from '../../src/runtime/compatibility.ts'
import { type LeftState, leave } from '../support/stored-state.ts'

type Config = Record<string, unknown>
type Actors = Record<string, AnyActorLogic>

const never = fromPromise(() => new Promise(() => {}))
const make = (config: Config, actors: Actors = {}): AnyStateMachine =>
  createMachine({ id: 'order', ...config } as Parameters<typeof createMachine>[0], { actors })
const flat = (states: Config, initial = Object.keys(states)[0], actors: Actors = {}): AnyStateMachine =>
  make({ initial, states }, actors)
const missing = (machine: AnyStateMachine, { actor, timers }: LeftState): readonly string[] => findMissing(machine, actor, timers)

const ask = make({ id: 'ask', initial: 'asking', states: { asking: {}, asked: { type: 'final' } } })
const paying = { invoke: { id: 'payment', src: 'charge' } }
const two = { type: 'parallel', states: { left: {}, right: { initial: 'a', states: { a: {}, b: {} } } } }
const withHistory = (states: Config, kind = 'shallow'): AnyStateMachine =>
  flat({
    work: { initial: 'one', on: { rest: 'rest' }, states: { ...states, back: { type: 'history', history: kind } } },
    rest: {},
  })
const deep = { inner: { initial: 'x', states: { x: {}, y: {} } } }

/** What a run of `before` was left with, and what `now` does not have of it. */
const cases: readonly (readonly [title: string, left: LeftState, now: AnyStateMachine, missing: readonly string[]])[] = [
  // States.
  ['the same machine', leave(flat({ a: {}, b: {} })), flat({ a: {}, b: {} }), []],
  ['a machine without states', leave(make({})), make({}), []],
  [
    'a machine that got states',
    leave(make({})),
    flat({ a: {} }),
    ['state `order` as a state without children (it has some now)'],
  ],
  ['a machine that lost its states', leave(flat({ a: {} })), make({}), ['state `order.a`']],
  ['new states, events and guards', leave(flat({ a: {} })), flat({ b: {}, a: { on: { go: { target: 'b', guard: 'g' } } } }), []],
  ['a state that it is not in is gone', leave(flat({ a: {}, b: {} })), flat({ a: {} }), []],
  ['its state is gone', leave(flat({ a: {}, b: {} })), flat({ b: {} }), ['state `order.a`']],
  [
    'its state has the name of something every object has',
    leave(flat({ toString: {} })),
    flat({ b: {} }),
    ['state `order.toString`'],
  ],
  ['its state has another id', leave(flat({ a: {} })), flat({ a: { id: 'other' } }), []],
  ['its state has another initial state beside it', leave(flat({ a: {}, b: {} })), flat({ a: {}, b: {} }, 'b'), []],
  [
    'a state below is gone',
    leave(flat({ a: deep.inner })),
    flat({ a: { initial: 'y', states: { y: {} } } }),
    ['state `order.a.x`'],
  ],
  ['a state with children has none now', leave(flat({ a: deep.inner })), flat({ a: {} }), ['state `order.a.x`']],
  [
    'an atomic state has children now',
    leave(flat({ a: {} })),
    flat({ a: deep.inner }),
    ['state `order.a` as a state without children (it has some now)'],
  ],
  [
    'an atomic state has regions now',
    leave(flat({ a: {} })),
    flat({ a: two }),
    ['state `order.a` as a state without children (it has some now)'],
  ],
  [
    'its state is a history state now',
    leave(flat({ a: {}, b: {} })),
    flat({ a: { type: 'history' }, b: {} }, 'b'),
    ['state `order.a` as a state to be in (it is a history state now)'],
  ],
  ['parallel regions', leave(make(two)), make(two), []],
  [
    'a parallel state has one region more',
    leave(make(two)),
    make({ ...two, states: { ...two.states, third: {} } }),
    ['state `order` without a region `third`'],
  ],
  ['a parallel state has one region less', leave(make(two)), make({ ...two, states: { left: {} } }), ['state `order.right`']],
  [
    'two things at once',
    leave(make(two)),
    make({ type: 'parallel', states: { left: {}, right: { initial: 'b', states: { b: {} } }, third: {} } }),
    ['state `order.right.a`', 'state `order` without a region `third`'],
  ],
  [
    'a parallel state is compound now',
    leave(make(two)),
    make({ initial: 'left', states: two.states }),
    ['state `order` with parallel regions (it is in one child at a time now)'],
  ],
  [
    'a compound state is parallel now',
    leave(flat({ left: {}, right: {} })),
    make({ type: 'parallel', states: { left: {}, right: {} } }),
    ['state `order` without a region `right`'],
  ],
  [
    'its state ends the machine now',
    leave(flat({ a: {} })),
    flat({ a: { type: 'final' } }),
    ['state `order` as one that has not come to its end'],
  ],
  [
    'its state is final, further down',
    leave(flat({ a: deep.inner })),
    flat({ a: { initial: 'x', states: { x: { type: 'final' } } } }),
    [],
  ],
  [
    'all regions are final now',
    leave(make({ type: 'parallel', states: { l: { initial: 'a', states: { a: {} } } } })),
    make({ type: 'parallel', states: { l: { initial: 'a', states: { a: { type: 'final' } } } } }),
    ['state `order` as one that has not come to its end'],
  ],
  ['a run that is done', leave(flat({ a: { type: 'final' } })), flat({ a: { type: 'final' } }), []],

  // History.
  ['a history', leave(withHistory({ one: {} }), 'rest'), withHistory({ one: {}, two: {} }), []],
  ['a remembered state is gone', leave(withHistory({ one: {} }), 'rest'), withHistory({ one: deep.inner, two: {} }), []],
  [
    'a shallow history target is gone',
    leave(withHistory({ one: {}, two: {} }), 'rest'),
    flat({ work: { initial: 'two', states: { two: {}, back: { type: 'history' } } }, rest: {} }),
    ['history target `order.work.one` of `order.work.back`'],
  ],
  [
    'a deep history target is gone',
    leave(withHistory({ one: deep.inner }, 'deep'), 'rest'),
    withHistory({ one: { initial: 'y', states: { y: {} } } }, 'deep'),
    ['history target `order.work.one.x` of `order.work.back`'],
  ],
  [
    'a history target is somewhere else',
    leave(withHistory({ one: { id: 'moved' } }), 'rest'),
    flat({ work: { initial: 'two', states: { two: {}, back: { type: 'history' } } }, rest: {}, one: { id: 'moved' } }, 'work'),
    ['history target `moved` of `order.work.back`'],
  ],
  ['a history state is gone', leave(withHistory({ one: {} }), 'rest'), flat({ rest: {} }), []],

  // Children.
  ['a child', leave(flat({ a: paying }, 'a', { charge: never })), flat({ a: paying }, 'a', { charge: never, more: never }), []],
  [
    'the source of a child is gone',
    leave(flat({ a: paying }, 'a', { charge: never })),
    flat({ a: paying }, 'a', { toll: never }),
    ['child `payment` with source `charge`'],
  ],
  [
    'the source of a child is what every object has',
    leave(flat({ a: { invoke: { src: 'valueOf', id: 'c' } } }, 'a', { valueOf: never })),
    flat({ a: {} }),
    ['child `c` with source `valueOf`'],
  ],
  [
    'the source of a spawned child is gone',
    leave(flat({ a: { entry: spawnChild('charge', { id: 'c' }) } }, 'a', { charge: never })),
    flat({ a: {} }),
    ['child `c` with source `charge`'],
  ],
  [
    'a spawned child whose source is there',
    leave(flat({ a: { entry: spawnChild('charge', { id: 'c' }) } }, 'a', { charge: never })),
    flat({ a: {} }, 'a', { charge: never }),
    [],
  ],
  ['an inline child', leave(flat({ a: { invoke: { src: never } } })), flat({ a: { invoke: { src: never } } }), []],
  [
    'the state of an inline child invokes nothing now',
    leave(flat({ a: { invoke: { src: never } } })),
    flat({ a: {} }),
    ['child `0.order.a` with source `xstate.invoke.0.order.a`'],
  ],
  [
    'an inline child has a name now',
    leave(flat({ a: { invoke: { src: never, id: 'c' } } })),
    flat({ a: { invoke: { src: 'charge', id: 'c' } } }, 'a', { charge: never }),
    ['child `c` with source `xstate.invoke.0.order.a`'],
  ],
  [
    'the second of two inline children is gone',
    leave(
      flat({
        a: {
          invoke: [
            { src: never, id: 'c' },
            { src: never, id: 'd' },
          ],
        },
      }),
    ),
    flat({ a: { invoke: [{ src: never, id: 'c' }] } }),
    ['child `d` with source `xstate.invoke.1.order.a`'],
  ],
  [
    'an invocation without an id has one now',
    leave(flat({ a: { invoke: { src: 'charge' } } }, 'a', { charge: never })),
    flat({ a: paying }, 'a', { charge: never }),
    ['child `0.order.a` with source `charge`, which is not invoked as `0.order.a` any more'],
  ],
  [
    'another invocation stands before one without an id',
    leave(flat({ a: { invoke: { src: 'charge' } } }, 'a', { charge: never })),
    flat({ a: { invoke: [{ src: 'log' }, { src: 'charge' }] } }, 'a', { charge: never, log: never }),
    ['child `0.order.a` with source `charge`, which is not invoked as `0.order.a` any more'],
  ],
  [
    'an invocation without an id has another source, and the old one is still there',
    leave(flat({ a: { invoke: { src: 'charge' } } }, 'a', { charge: never })),
    flat({ a: { invoke: { src: 'charge2' } } }, 'a', { charge: never, charge2: never }),
    [],
  ],
  [
    'a child is a machine now',
    leave(flat({ a: paying }, 'a', { charge: never })),
    flat({ a: paying }, 'a', { charge: ask }),
    ['a snapshot of child `payment` that machine `ask` can restore: its `context` is `undefined`'],
  ],
  [
    'a child was a machine',
    leave(flat({ a: paying }, 'a', { charge: ask })),
    flat({ a: paying }, 'a', { charge: never }),
    ['child `payment` with source `charge` as a machine'],
  ],
  [
    'a state of a child machine is gone',
    leave(flat({ a: paying }, 'a', { charge: ask })),
    flat({ a: paying }, 'a', { charge: make({ id: 'ask', initial: 'b', states: { b: {} } }) }),
    ['state `ask.asking` of child `payment`'],
  ],
  [
    'the source of a child of a child is gone',
    leave(flat({ a: paying }, 'a', { charge: make({ id: 'mid', invoke: { id: 'leaf', src: 'x' } }, { x: never }) })),
    flat({ a: paying }, 'a', { charge: make({ id: 'mid', invoke: { id: 'leaf', src: 'y' } }, { y: never }) }),
    ['child `payment/leaf` with source `x`'],
  ],
  [
    'a child that failed at its start',
    leave(
      flat({ a: { invoke: { id: 'c', src: 'bad', onError: { actions: [] } } } }, 'a', {
        bad: make({
          initial: 'x',
          states: { x: {} },
          context: () => {
            throw new Error('no')
          },
        }),
      }),
    ),
    flat({ a: { invoke: { id: 'c', src: 'bad' } } }, 'a', { bad: ask }),
    [],
  ],

  // Timers.
  ['an `after`', leave(flat({ a: { after: { 5: 'b' } }, b: {} })), flat({ a: { after: { 5: 'b', 6: 'b' } }, b: {} }), []],
  [
    'an `after` has another target',
    leave(flat({ a: { after: { 5: 'b' } }, b: {} })),
    flat({ a: { after: { 5: 'c' } }, c: {} }),
    [],
  ],
  [
    'the delay of an `after` was changed',
    leave(flat({ a: { after: { 5: 'b' } }, b: {} })),
    flat({ a: { after: { 6: 'b' } }, b: {} }),
    ['timer `xstate.after.5.order.a`'],
  ],
  [
    'a `*` does not stand for an `after`',
    leave(flat({ a: { after: { 5: 'b' } }, b: {} })),
    flat({ a: { on: { '*': 'b' } }, b: {} }),
    ['timer `xstate.after.5.order.a`'],
  ],
  [
    'an `after` of a state above is gone',
    leave(flat({ a: { ...deep.inner, after: { 5: 'b' } }, b: {} })),
    flat({ a: deep.inner, b: {} }),
    ['timer `xstate.after.5.order.a`'],
  ],
  ['an `after` is new', leave(flat({ a: {}, b: {} })), flat({ a: { after: { 5: 'b' } }, b: {} }), []],
  [
    'an `after` of a child was changed',
    leave(flat({ a: paying }, 'a', { charge: make({ id: 'w', initial: 'x', states: { x: { after: { 5: {} } } } }) })),
    flat({ a: paying }, 'a', { charge: make({ id: 'w', initial: 'x', states: { x: { after: { 6: {} } } } }) }),
    ['timer `xstate.after.5.w.x` of child `payment`'],
  ],
  [
    'an event that it sent to itself is taken by another state only',
    leave(flat({ a: { entry: raise({ type: 'wake.up' }, { delay: 5 }) } })),
    flat({ a: {}, b: { on: { 'wake.*': 'a' } } }),
    [],
  ],
  [
    'an event that it sent to itself is taken by no state',
    leave(flat({ a: { entry: raise({ type: 'wake.up' }, { delay: 5 }) } })),
    flat({ a: { on: { wake: {}, 'wake.upper': {}, 'wak.*': {} } } }),
    ['timer `wake.up`'],
  ],
  [
    'an event for a child that is no machine',
    leave(
      flat({ a: { ...paying, entry: sendTo('payment', { type: 'x' }, { delay: 5 }) } }, 'a', { charge: fromCallback(() => {}) }),
    ),
    flat({ a: paying }, 'a', { charge: fromTransition((state) => state, {}) }),
    [],
  ],
  [
    'an `after` of a child of a child whose source is gone',
    leave(
      flat({ a: paying }, 'a', {
        charge: make(
          { id: 'mid', invoke: { id: 'leaf', src: 'x' } },
          { x: make({ id: 'w', initial: 'x', states: { x: { after: { 5: {} } } } }) },
        ),
      }),
    ),
    flat({ a: {} }),
    ['child `payment` with source `charge`'],
  ],
  [
    'an event for a child whose source is gone',
    leave(
      flat({ a: { ...paying, entry: sendTo('payment', { type: 'x' }, { delay: 5 }) } }, 'a', { charge: fromCallback(() => {}) }),
    ),
    flat({ a: {} }),
    ['child `payment` with source `charge`'],
  ],
]

describe('what a machine does not have of a stored run', () => {
  for (const [title, left, now, expected] of cases) {
    it(`${title}: ${expected.length === 0 ? 'nothing' : expected.join(', ')}`, () => {
      assert.deepEqual(missing(now, left), expected)
    })
  }

  it('is nothing where XState restores the run just as it was', () => {
    for (const [title, left, now, expected] of cases) {
      if (expected.length > 0) continue
      const actor = createActor(now, { snapshot: structuredClone(left.actor) as unknown as Snapshot<unknown> }) // as persisted
      const { value, children, status } = actor.getSnapshot()
      assert.deepEqual(value, left.actor.value, title)
      assert.equal(status, left.actor.status, title)
      assert.deepEqual(Object.keys(children), Object.keys(left.actor.children as object), title)
    }
  })
})

describe('what is no snapshot', () => {
  const machine = flat({ a: paying, b: { type: 'parallel', states: { x: {} } } }, 'a', { charge: ask })
  const { actor } = leave(machine)
  const timer = { id: 'x', source: [], target: [], event: { type: 'x' }, dueAt: 1 }
  const odd: readonly (readonly [what: unknown, timers: unknown, RegExp])[] = [
    [undefined, [], /it is `undefined`/],
    [null, [], /it is `null`/],
    ['x', [], /it is "x"/],
    [[], [], /it is an array/],
    [{}, [], /its `status` is `undefined`/],
    [{ ...actor, status: 'paused' }, [], /its `status` is "paused"/],
    [{ ...actor, context: undefined }, [], /its `context` is `undefined`/],
    [{ ...actor, children: undefined }, [], /its `children` are `undefined`/],
    [{ ...actor, historyValue: 5 }, [], /its `historyValue` is `5`/],
    [{ ...actor, value: undefined }, [], /^state `order` with the value `undefined`/],
    [{ ...actor, value: 7 }, [], /^state `order` with the value `7`/],
    [{ ...actor, value: [] }, [], /^state `order` with the value an array/],
    [{ ...actor, value: { a: null } }, [], /^state `order.a` with the value `null`/],
    [{ ...actor, value: '__proto__' }, [], /^state `order.__proto__`/],
    [{ ...actor, children: { payment: 5 } }, [], /child `payment` as it is stored: `5`/],
    [{ ...actor, children: { payment: { src: 'charge', snapshot: undefined } } }, [], /child `payment` as it is stored/],
    [{ ...actor, children: { payment: { src: {}, snapshot: {} } } }, [], /child `payment` as it is stored/],
    [{ ...actor, children: { payment: { src: 'charge', snapshot: {} } } }, [], /snapshot of child `payment`/],
    [{ ...actor, children: { c: { src: 'xstate.invoke.0.nowhere', snapshot: {} } } }, [], /child `c` with source/],
    [actor, undefined, /list of timers/],
    [actor, [5], /^timer that can be read: it is `5`/],
    [actor, [{ ...timer, event: undefined }], /^timer that can be read/],
    [actor, [{ ...timer, target: 'x' }], /^timer that can be read/],
    [actor, [{ ...timer, target: ['gone'] }], /^timer `x` with child `gone`/],
    [actor, [{ ...timer, source: ['payment', 'gone'] }], /^timer `x` with child `payment\/gone`/],
  ]
  for (const [index, [snapshot, timers, expected]] of odd.entries()) {
    it(`is a finding and no error (${index}: ${expected.source})`, () => {
      assert.match(findMissing(machine, snapshot, timers)[0] ?? 'nothing', expected)
    })
  }

  it('is a finding when it has no end', () => {
    const actors: Actors = {}
    const endless = flat({ a: {} }, 'a', actors)
    actors.self = endless
    const snapshot: Record<string, unknown> = { status: 'active', value: 'a', context: {}, historyValue: {} }
    snapshot.children = { child: { src: 'self', snapshot } }
    assert.match(findMissing(endless, snapshot, []).at(-1) ?? 'nothing', /^a snapshot that can be read: /)
  })

  it('is never an error, whatever it is', () => {
    const anything = fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true })
    const keys = ['status', 'value', 'context', 'historyValue', 'children'] as const
    fc.assert(
      fc.property(fc.constantFrom(...keys), anything, anything, (key, part, timers) => {
        for (const snapshot of [part, { ...actor, [key]: part }, { ...actor, children: { payment: part } }])
          for (const list of [timers, [timers], []]) assert.ok(Array.isArray(findMissing(machine, snapshot, list)))
      }),
    )
  })
})

describe('timers that outlived what they are for', () => {
  const child = make({ id: 'w', initial: 'x', states: { x: { after: { 5: {} } } } })
  const machine = flat({ a: { after: { 5: 'b' }, entry: raise({ type: 'later' }, { delay: 7 }), ...paying }, b: {} }, 'a', {
    charge: child,
  })
  const { actor, timers } = leave(machine)
  const types = (snapshot: unknown, list: readonly unknown[] = timers): unknown[] =>
    (dropOutlived(machine, snapshot, list) as typeof timers).map((timer) => timer.event?.type)

  it('stay while the run is where they were set', () =>
    assert.deepEqual(types(actor).toSorted(), ['later', 'xstate.after.5.order.a', 'xstate.after.5.w.x']))
  it('go with their state', () => assert.deepEqual(types({ ...actor, value: 'b' }).toSorted(), ['later', 'xstate.after.5.w.x']))
  it('go with their child', () =>
    assert.deepEqual(types({ ...actor, children: {} }).toSorted(), ['later', 'xstate.after.5.order.a']))
  it('stay when their state has another delay: only `migrate` knows what is to become of them', () => {
    const changed = flat({ a: { after: { 6: 'b' } }, b: {} })
    assert.deepEqual(
      dropOutlived(changed, { ...actor, children: {} }, timers)
        .map(({ event }) => event.type)
        .toSorted(),
      ['later', 'xstate.after.5.order.a'],
    )
  })
})
