import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { type AnyActorLogic, type AnyStateMachine, createMachine, fromPromise, setup } from 'xstate'
import { isMachine, toStructure } from '../../src/runtime/machine-structure.ts'

const child = createMachine({ id: 'child', initial: 'a', states: { a: { on: { go: 'b' } }, b: { type: 'final' } } })
const grown = createMachine({ id: 'child', initial: 'a', states: { a: { on: { go: 'b' } }, b: { type: 'final' }, c: {} } })
const task = fromPromise(async () => 1)

type Config = Parameters<typeof createMachine>[0]
interface StateConfig {
  readonly [key: string]: unknown
}
type Actors = Record<string, AnyActorLogic>

const base = {
  waiting: { on: { pay: 'paying', ping: { actions: () => {} } }, after: { 1000: 'late', LONG: 'late' } },
  paying: { invoke: { id: 'payment', src: 'charge', onDone: 'paid', onError: { target: 'waiting', guard: () => true } } },
  paid: { initial: 'packing', states: { packing: { on: { pack: 'packed' } }, packed: {}, before: { type: 'history' } } },
  late: { always: { target: 'paid', guard: () => false } },
}
/** The machine, with some of its states replaced. */
const order = (states: StateConfig = {}, machine: StateConfig = {}, actors: Actors = { charge: task, child }): AnyStateMachine =>
  createMachine({ id: 'order', initial: 'waiting', states: { ...base, ...states }, ...machine } as Config, {
    actors,
    delays: { LONG: 5000 },
  })

describe('the structure of a machine', () => {
  const structure = toStructure(order())

  for (const [what, machine] of [
    ['the order of its states', order({}, { states: Object.fromEntries(Object.entries(base).reverse()) })],
    [
      'the order of events, delays and actors',
      order({ waiting: { after: { LONG: 'late', 1000: 'late' }, on: { ping: {}, pay: 'paying' } } }, {}, { child, charge: task }),
    ],
    ['what its actions do', order({ waiting: { ...base.waiting, entry: () => {}, exit: 'log' } })],
    ['what a guard asks', order({ late: { always: { target: 'paid', guard: 'other' } } })],
    ['the logic of an actor that is no machine', order({}, {}, { charge: fromPromise(async () => 2), child })],
    ['how long a named delay is', order().provide({ delays: { LONG: 9 } })],
    ['descriptions, meta and tags', order({ late: { ...base.late, description: 'x', meta: { x: 1 }, tags: ['x'] } })],
    ['its context and version', order({}, { context: { n: 1 }, version: '2' })],
    ['the same child made anew', order({}, {}, { charge: task, child: child.provide({}) })],
  ] as const) {
    it(`does not depend on ${what}`, () => assert.equal(toStructure(machine), structure))
  }

  for (const [what, machine] of [
    ['a new state', order({ extra: {} })],
    ['a type of a state', order({ late: { ...base.late, type: 'final' } })],
    ['a kind of a history', order({ paid: { ...base.paid, states: { ...base.paid.states, before: { history: 'deep' } } } })],
    [
      'a default of a history',
      order({ paid: { ...base.paid, states: { ...base.paid.states, before: { type: 'history', target: 'packed' } } } }),
    ],
    ['an initial state', order({}, { initial: 'paying' })],
    ['an id of a state', order({ late: { ...base.late, id: 'tooLate' } })],
    ['an event', order({ waiting: { ...base.waiting, on: { buy: 'paying' } } })],
    ['a target', order({ waiting: { ...base.waiting, on: { ...base.waiting.on, pay: 'paid' } } })],
    ['whether a transition is guarded', order({ late: { always: 'paid' } })],
    ['a delay', order({ waiting: { ...base.waiting, after: { 2000: 'late', LONG: 'late' } } })],
    ['a name of a delay', order({ waiting: { ...base.waiting, after: { 1000: 'late', LONGER: 'late' } } })],
    ['an id of an invocation', order({ paying: { invoke: { ...base.paying.invoke, id: 'p' } } })],
    ['a source of an invocation', order({ paying: { invoke: { ...base.paying.invoke, src: 'child' } } })],
    ['a route to a state', order({ late: { ...base.late, id: 'order.late', route: {} } })],
    ['a name of an actor', order({}, {}, { charge: task, infant: child })],
    ['an actor that became a machine', order({}, {}, { charge: child, child })],
    ['a machine among its actors', order({}, {}, { charge: task, child: grown })],
    [
      'a machine deep among its actors',
      order({}, {}, { charge: task, child: setup({ actors: { grown } }).createMachine(child.config as object) }),
    ],
    ['its id', order({}, { id: 'order2' })],
  ] as const) {
    it(`depends on ${what}`, () => assert.notEqual(toStructure(machine), structure))
  }

  it('depends on an inline machine that is invoked', () => {
    const invoking = (src: AnyStateMachine): AnyStateMachine => order({ paying: { invoke: { src } } })
    assert.equal(toStructure(invoking(child)), toStructure(invoking(child.provide({}))))
    assert.notEqual(toStructure(invoking(child)), toStructure(invoking(grown)))
  })

  it('does not depend on the order of states that have routes', () => {
    const routed = { a: { id: 'a', route: {} }, b: { id: 'b', route: {} } }
    const make = (states: object): AnyStateMachine => createMachine({ id: 'm', initial: 'a', states } as Config)
    assert.equal(toStructure(make(routed)), toStructure(make(Object.fromEntries(Object.entries(routed).reverse()))))
  })

  it('ends for machines that have themselves or each other among their actors', () => {
    const cycle = (inner: AnyStateMachine): AnyStateMachine => {
      const actors: Actors = { inner }
      const machine = createMachine({ id: 'tree', initial: 'on', states: { on: {} } }, { actors })
      actors.self = machine
      return machine
    }
    assert.equal(toStructure(cycle(child)), toStructure(cycle(child)))
    assert.notEqual(toStructure(cycle(child)), toStructure(cycle(grown)))
  })

  it('takes states that are nested very deep', () => {
    let state: StateConfig = {}
    for (let depth = 0; depth < 300; depth++) state = { initial: 'in', states: { in: state } }
    const deep = createMachine({ id: 'deep', ...state } as Config)
    assert.match(toStructure(deep), /^[\w-]{16}$/)
  })

  it('is the same in another process', async () => {
    const config = { id: 'm', initial: 'a', states: { a: { on: { go: 'b' }, after: { 10: 'b' } }, b: { type: 'final' } } }
    const program = `
      import { createMachine } from 'xstate'
      import { toStructure } from ${JSON.stringify(import.meta.resolve('../../src/runtime/machine-structure.ts'))}
      process.stdout.write(toStructure(createMachine(${JSON.stringify(config)})))`
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program])
    assert.equal(stdout, toStructure(createMachine(config as Config)))
    // Stored with every run: another text here makes every run of an earlier release `changed`.
    assert.equal(stdout, 'YKRZtsl861zyDMqr')
  })
})

it('a machine is told from other values', () => {
  assert.ok(isMachine(child))
  for (const value of [undefined, null, 1, 'x', {}, { root: {}, implementations: {} }, task, child.config])
    assert.equal(isMachine(value), false)
})
