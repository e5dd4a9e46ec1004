/** What an inspector is told of runs: the same ids in every process, everything there is, and nothing that disturbs a run. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { createWebSocketInspector, type StatelyInspectionEvent } from '@statelyai/inspect'
import { openRuntime } from 'perdure'
import { type AnyActorRef, createActor, sendTo, setup } from 'xstate'
import { openScreen } from '../../examples/support/inspector-screen.ts'
import { createInspection } from '../../src/runtime/inspection.ts'
import { openReceiver } from '../support/inspector-receiver.ts'
import {
  activate,
  isShipped,
  observe,
  ofType,
  order,
  payment,
  show,
  store,
  toLine,
  toStable,
} from '../support/inspector-scene.ts'
import { createTempRoom, type TempRoom } from '../support/temp-room.ts'

const started = ['actor order-1 < undefined', 'actor order-1/payment < order-1', 'actor order-1/payment/a%2Fb < order-1/payment']

describe('inspection', () => {
  test('tells all events of a run, with ids that say where in the run an actor is', () => {
    const inspection = createInspection()
    const { lines } = observe(inspection)
    const actor = activate(inspection, 'order-1')
    assert.deepEqual(
      lines.filter((line) => line.startsWith('actor')),
      started,
    )
    lines.length = 0
    actor.send({ type: 'pay' })
    assert.deepEqual(lines, [
      'event undefined > order-1: pay',
      'action order-1: xstate.sendTo',
      'action order-1: note',
      'microstep order-1: pay, active',
      'event order-1 > order-1/payment: paid',
      'microstep order-1/payment: paid, active',
      'snapshot order-1/payment: paid, active',
      'snapshot order-1: pay, active',
    ])
    lines.length = 0
    actor.send({ type: 'ship' })
    assert.ok(lines.includes('snapshot order-1/payment: xstate.stop, stopped'))
    assert.ok(lines.includes('snapshot order-1: ship, done'))
  })

  test('gives a restored run the same ids, though XState gives it others', () => {
    const inspection = createInspection()
    const { lines } = observe(inspection)
    const live = activate(inspection, 'order-1')
    live.send({ type: 'pay' })
    const record = store(live)
    inspection.untrack('order-1')
    lines.length = 0

    const restored = activate(inspection, 'order-1', record)
    assert.notEqual(restored.sessionId, live.sessionId)
    assert.deepEqual(lines.slice(0, 3), started)
    assert.deepEqual(lines.slice(3), [
      'event undefined > order-1: xstate.init',
      'event order-1 > order-1/payment: xstate.init',
      'event order-1/payment > order-1/payment/a%2Fb: xstate.init',
      'snapshot order-1/payment/a%2Fb: xstate.init, active',
      'snapshot order-1/payment: xstate.init, active',
      'snapshot order-1: xstate.init, active',
    ])
  })

  test('leaves XState’s actors as they are; what it gives behaves like them', () => {
    const inspection = createInspection()
    const { events } = observe(inspection)
    const actor = activate(inspection, 'order-1')
    const child: AnyActorRef | undefined = actor.getSnapshot().children.payment
    assert.match(`${actor.sessionId} ${child?.sessionId}`, /^x:\d+ x:\d+$/)
    assert.equal(child?._parent, actor)

    const [root, ...others] = new Set(events.map(({ actorRef }) => actorRef))
    const shown = others.find(({ sessionId }) => sessionId === 'order-1/payment') as AnyActorRef // announced above
    assert.equal(others.length, 2)
    assert.equal(shown._parent, root)
    assert.equal(shown.id, 'payment')
    assert.equal(shown.getSnapshot(), child.getSnapshot())
    assert.deepEqual(JSON.parse(JSON.stringify(root)), { xstate$$type: 1, id: 'order-1' })
    const states: unknown[] = []
    shown.subscribe(({ value }) => states.push(value))
    shown.send({ type: 'paid' })
    assert.deepEqual(states, ['paid'])
    assert.equal(child.getSnapshot().value, 'paid')
  })

  test('an observer that comes late is shown every actor that there is, each before its children', () => {
    const inspection = createInspection()
    const actor = activate(inspection, 'order-1')
    activate(inspection, 'order-2')
    actor.send({ type: 'pay' })
    const { lines, events } = observe(inspection)
    const shown = (run: string): string[] =>
      [`${run} < undefined`, `${run}/payment < ${run}`, `${run}/payment/a%2Fb < ${run}/payment`].flatMap((line) => [
        `actor ${line}`,
        `snapshot ${line.split(' ')[0]}: xstate.init, active`,
      ])
    assert.deepEqual(lines, [...shown('order-1'), ...shown('order-2')])
    const seen = events.find((event) => event.type === '@xstate.snapshot')
    assert.equal(seen?.snapshot, actor.getSnapshot())

    lines.length = 0
    actor.send({ type: 'ship' })
    assert.equal(lines[0], 'event undefined > order-1: ship')
    assert.equal(events.at(-1)?.actorRef, events[0]?.actorRef)
  })

  test('the late stop of an actor that was invoked again is not taken for that of the new one', () => {
    const inspection = createInspection()
    const { lines } = observe(inspection)
    const actor = activate(inspection, 'order-1')
    for (const _ of [1, 2]) {
      const old: AnyActorRef | undefined = actor.getSnapshot().children.payment
      lines.length = 0
      actor.send({ type: 'again' })
      assert.equal(old?.getSnapshot().status, 'stopped')
      assert.ok(lines.includes('actor order-1/payment < order-1'))
      assert.ok(lines.includes('snapshot order-1/payment/a%2Fb: xstate.init, active'))
      assert.deepEqual(
        lines.filter((line) => /stop/.test(line) && !line.startsWith('action')),
        [],
      )
    }
    lines.length = 0
    actor.send({ type: 'pay' })
    assert.ok(lines.includes('snapshot order-1/payment: paid, active'))
  })

  test('a run that is dropped from memory is not told to have stopped, and late observers are not shown it', () => {
    const inspection = createInspection()
    const { lines } = observe(inspection)
    const old = activate(inspection, 'order-1')
    lines.length = 0
    inspection.untrack('order-1')
    const again = activate(inspection, 'order-1', store(old))
    const told = lines.length
    old.stop()
    assert.equal(lines.length, told)
    again.send({ type: 'pay' })
    assert.ok(lines.length > told)
    inspection.untrack('order-1')
    assert.deepEqual(observe(inspection).lines, [])
  })

  test('an actor of another run has the id that it has there', () => {
    const inspection = createInspection()
    const other = activate(inspection, 'order-2')
    const runs = setup({}).createMachine({ on: { go: { actions: sendTo(() => other, { type: 'pay' }) } } })
    const actor = createActor(runs, { inspect: (event) => inspection.forward('order-1', event) })
    inspection.track('order-1', actor)
    const told: string[] = []
    inspection.observe((event) => {
      if (event.type === '@xstate.event') told.push(`${event.sourceRef?.sessionId} > ${event.actorRef.sessionId}`)
    })
    actor.start().send({ type: 'go' })
    assert.deepEqual(told, ['undefined > order-1', 'undefined > order-1', 'order-1 > order-2', 'order-2 > order-2/payment'])
  })

  test('an actor that belongs to no run is left as it is', () => {
    const inspection = createInspection()
    const plain = createActor(order).start()
    const told: unknown[] = []
    inspection.observe((event) => told.push(event.actorRef))
    const sender = setup({}).createMachine({ on: { go: { actions: sendTo(() => plain, { type: 'pay' }) } } })
    const actor = createActor(sender, { inspect: (event) => inspection.forward('order-1', event) })
    inspection.track('order-1', actor)
    actor.start().send({ type: 'go' })
    assert.ok(told.includes(plain))
  })

  test('the root has the id of its run, whatever it was created with', () => {
    const inspection = createInspection()
    const told: unknown[] = []
    inspection.observe(({ actorRef }) => told.push((actorRef as AnyActorRef).id)) // XState knows no others
    createActor(payment, { id: 'other', inspect: (event) => inspection.forward('order-1', event) }).start()
    assert.equal(told[0], 'order-1')
  })

  test('an observer that throws disturbs neither the run nor the others; its error is not swallowed', async () => {
    const thrown: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => thrown.push(error))
    try {
      const inspection = createInspection()
      inspection.observe({
        next({ type }) {
          throw new Error(type)
        },
      })
      const { events } = observe(inspection)
      const actor = activate(inspection, 'order-1')
      actor.send({ type: 'ship' })
      assert.equal(actor.getSnapshot().status, 'done')
      await new Promise(setImmediate)
      assert.ok(events.length > 0)
      assert.deepEqual(
        thrown.map((error) => (error instanceof Error ? error.message : '')),
        events.map(({ type }) => type),
      )
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of listeners) process.on('uncaughtException', listener)
    }
  })

  test('who unsubscribed hears nothing more, nor does anybody when the runtime has closed', () => {
    const inspection = createInspection()
    const heard: string[] = []
    const first = inspection.observe(() => heard.push('first'))
    inspection.observe(() => heard.push('second'))
    const actor = activate(inspection, 'order-1')
    first.unsubscribe()
    first.unsubscribe()
    heard.length = 0
    actor.send({ type: 'pay' })
    assert.deepEqual(new Set(heard), new Set(['second']))
    inspection.close()
    heard.length = 0
    actor.send({ type: 'ship' })
    inspection.observe(() => heard.push('third'))
    assert.deepEqual(heard, [])
  })

  test('what is no observer is refused at once', () => {
    const inspection = createInspection()
    for (const wrong of [undefined, null, 1, {}, { next: 1 }, { inspect: () => {} }])
      assert.throws(() => inspection.observe(wrong as never), { name: 'TypeError', message: /`inspect`/ }) // on purpose
  })
})

const screens = [
  ['a WebSocket receiver', openReceiver],
  ['the inspector’s server and a browser', () => openScreen()],
] as const

for (const [name, open] of screens)
  describe(`the inspector on ${name}`, () => {
    test('draws a live run: its actors, definitions, events and states', async () => {
      const { messages } = await show(open, ['pay'])
      assert.deepEqual(
        ofType(messages, '@xstate.actor').map(({ sessionId, parentId, rootId, name }) => [sessionId, parentId, rootId, name]),
        [
          ['order-1', undefined, 'order-1', 'order'],
          ['order-1/payment', 'order-1', 'order-1', 'payment'],
          ['order-1/payment/a%2Fb', 'order-1/payment', 'order-1', 'a/b'],
        ],
      )
      const [root, child] = ofType(messages, '@xstate.actor').map(({ definition }) => JSON.parse(definition ?? ''))
      assert.deepEqual(Object.keys(root.states), ['open', 'shipped'])
      assert.deepEqual([child.id, child.initial], ['payment machine', 'asking'])
      assert.ok(
        ofType(messages, '@xstate.event').some(
          ({ sourceId, sessionId, event }) => sourceId === 'order-1' && sessionId === 'order-1/payment' && event.type === 'paid',
        ),
      )
      const states = ofType(messages, '@xstate.snapshot').filter(({ sessionId }) => sessionId === 'order-1')
      assert.deepEqual(
        states.map(({ snapshot }) => {
          const { value, context, children } = snapshot as unknown as Record<string, unknown> // as JSON
          return [value, context, children]
        }),
        [
          ['open', { paid: 0 }, { payment: { xstate$$type: 1, id: 'payment' } }],
          ['open', { paid: 1 }, { payment: { xstate$$type: 1, id: 'payment' } }],
          ['shipped', { paid: 1 }, {}],
        ],
      )
    })

    test('draws a restored run as it draws a live one', async () => {
      const live = await show(open, ['pay'])
      const restored = await show(open, [], live.record)
      const others = restored.messages.filter(({ type }) => type !== '@xstate.event')
      assert.deepEqual(
        others.filter(({ type }) => type === '@xstate.actor').map(toStable),
        live.messages.filter(({ type }) => type === '@xstate.actor').map(toStable),
      )
      const end = (messages: readonly StatelyInspectionEvent[]): unknown => messages.filter(isShipped).map(toStable)
      assert.deepEqual(end(restored.messages), end(live.messages))
    })

    test('draws what there is when it comes late', async () => {
      const live = await show(open, ['pay'])
      const late = await show(open, ['pay'], undefined, true)
      assert.deepEqual(ofType(late.messages, '@xstate.actor').map(toStable), ofType(live.messages, '@xstate.actor').map(toStable))
      const states = ofType(late.messages, '@xstate.snapshot').slice(0, 3)
      assert.deepEqual(
        states.map(({ sessionId }) => sessionId),
        ['order-1', 'order-1/payment', 'order-1/payment/a%2Fb'],
      )
    })
  })

describe('the inspector on a runtime', () => {
  let room: TempRoom
  before(async () => {
    room = await createTempRoom()
  })
  after(() => room.remove())

  for (const [name, open] of screens)
    test(`shows a run alive, and restored as the same: ${name}`, async () => {
      const directory = room.path()
      const drawn: unknown[] = []
      for (const type of ['pay', 'ship'] as const) {
        await using screen = await open()
        const inspector = createWebSocketInspector({ url: screen.url })
        {
          await using runtime = await openRuntime({ directory, machines: [order], inspect: inspector.inspect, log: 'silent' })
          const run = type === 'pay' ? await runtime.start(order, { id: 'order-1' }) : runtime.get<typeof order>('order-1')
          await run.send({ type })
          await screen.until(
            (message) => message.type === '@xstate.snapshot' && message.sessionId === 'order-1' && message.event.type === type,
          )
        }
        inspector.stop()
        drawn.push(
          ofType(screen.messages, '@xstate.actor').map(({ sessionId, parentId, rootId, name, definition }) => {
            return { sessionId, parentId, rootId, name, definition }
          }),
        )
        const last = ofType(screen.messages, '@xstate.snapshot').findLast(({ sessionId }) => sessionId === 'order-1')
        const { value, context } = (last?.snapshot ?? {}) as { readonly value?: unknown; readonly context?: unknown } // as JSON
        assert.deepEqual([value, context], [type === 'pay' ? 'open' : 'shipped', { paid: 1 }])
      }
      assert.deepEqual(drawn[1], drawn[0])
      assert.equal((drawn[0] as unknown[]).length, 3)
    })

  test('shows what there is to who comes late, and no run as stopped that only left memory', async () => {
    const options = { directory: room.path(), machines: [order], log: 'silent' } as const
    const lines: string[] = []
    {
      await using runtime = await openRuntime(options)
      const run = await runtime.start(order, { id: 'order-1' })
      await run.send({ type: 'pay' })
      runtime.inspect((event) => lines.push(toLine(event)))
      assert.deepEqual(
        lines.filter((line) => line.startsWith('actor')),
        started,
      )
    }
    assert.equal(lines.length, 6)
  })

  test('refuses what is no observer, and lets go of the store', async () => {
    const options = { directory: room.path(), machines: [order], log: 'silent' } as const
    await assert.rejects(openRuntime({ ...options, inspect: {} }), TypeError)
    await (await openRuntime(options)).close()
  })
})
