import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromPromise, setup } from 'xstate'
import { describeMachine } from '../../src/runtime/machine-description.ts'

const child = setup({}).createMachine({ id: 'child', initial: 'a', states: { a: {} } })
const order = setup({
  actors: { child, charge: fromPromise(async () => {}) },
  actions: { note: () => {} },
  guards: { isPaid: () => true },
}).createMachine({
  id: 'order',
  initial: 'paying',
  states: {
    paying: {
      description: 'Asks for money',
      tags: ['busy'],
      initial: 'card',
      invoke: [
        { id: 'bill', src: 'charge', onDone: 'shipping' },
        { id: 'helper', src: 'child' },
      ],
      on: { stop: { target: 'done', guard: 'isPaid', actions: 'note', description: 'Ends it' }, tick: { actions: () => {} } },
      after: { 1000: 'done' },
      states: { card: {}, back: { type: 'history', history: 'deep' }, last: { type: 'history' } },
    },
    shipping: { type: 'parallel', states: { box: {}, mail: {} }, always: { guard: () => false, target: 'done' } },
    done: { type: 'final' },
  },
})

test('a machine is described with what it is drawn from', () => {
  const { root, machines } = describeMachine(order)
  assert.equal(root, 'order')
  assert.deepEqual(Object.keys(machines), ['order', 'child#1'])
  const [paying, shipping, done] = machines.order?.states ?? []
  assert.equal(machines.order?.initial, 'order.paying')
  assert.deepEqual([paying?.type, shipping?.type, done?.type], ['compound', 'parallel', 'final'])
  assert.deepEqual([paying?.description, paying?.tags, paying?.initial], ['Asks for money', ['busy'], 'order.paying.card'])
  assert.deepEqual(
    paying?.states.map(({ history }) => history),
    [undefined, 'deep', 'shallow'],
  )
  assert.deepEqual(paying?.invokes, [
    { id: 'bill', src: 'charge', machine: undefined },
    { id: 'helper', src: 'child', machine: 'child#1' },
  ])
  assert.deepEqual(
    paying?.transitions.map(({ event, delay, targets, guard, actions, description }) => [
      delay === undefined ? event : `after ${delay}`,
      targets,
      guard,
      actions,
      description,
    ]),
    [
      ['stop', ['order.done'], 'isPaid', ['note'], 'Ends it'],
      ['tick', [], undefined, ['inline'], undefined],
      ['xstate.done.actor.bill', ['order.shipping'], undefined, [], undefined],
      ['after 1000', ['order.done'], undefined, [], undefined],
    ],
  )
  assert.deepEqual(
    shipping?.transitions.map(({ event, guard, targets }) => [event, guard, targets]),
    [['', 'inline', ['order.done']]],
  )
})

test('a machine that invokes itself is described once', () => {
  const actors: Record<string, typeof child> = {}
  const self = setup({ actors }).createMachine({
    id: 'self',
    initial: 'a',
    states: { a: { invoke: { id: 'again', src: 'self' } } },
  })
  self.implementations.actors.self = self
  const { machines } = describeMachine(self)
  assert.deepEqual(Object.keys(machines), ['self'])
  assert.equal(machines.self?.states[0]?.invokes[0]?.machine, 'self')
})
