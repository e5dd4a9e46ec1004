import assert from 'node:assert/strict'
import { createWebSocketInspector, type StatelyInspectionEvent } from '@statelyai/inspect'
import {
  type Actor,
  type AnyActorRef,
  assign,
  createActor,
  fromCallback,
  type InspectionEvent,
  type Snapshot,
  sendTo,
  setup,
} from 'xstate'
import type { InspectorScreen } from '../../examples/support/inspector-screen.ts'
import { createInspection, type Inspection } from '../../src/runtime/inspection.ts'

const bank = fromCallback(() => {})
export const payment = setup({ actors: { bank } }).createMachine({
  id: 'payment machine',
  invoke: { src: 'bank', id: 'a/b', systemId: 'the bank' },
  initial: 'asking',
  states: { asking: { on: { paid: 'paid' } }, paid: {} },
})
export const order = setup({ actors: { payment }, actions: { note: () => {} } }).createMachine({
  id: 'order',
  context: { paid: 0 },
  initial: 'open',
  states: {
    open: {
      invoke: { src: 'payment', id: 'payment' },
      on: {
        pay: { actions: [assign({ paid: 1 }), sendTo('payment', { type: 'paid' }), 'note'] },
        again: { target: 'open', reenter: true },
        ship: 'shipped',
      },
    },
    shipped: { type: 'final' },
  },
})

/** What the runtime does when it activates a run. */
export function activate(inspection: Inspection, run: string, snapshot?: Snapshot<unknown>): Actor<typeof order> {
  const actor = createActor(order, {
    id: run,
    ...(snapshot && { snapshot }),
    inspect: (event) => inspection.forward(run, event),
  })
  inspection.track(run, actor)
  return actor.start()
}
export const store = (actor: AnyActorRef): Snapshot<unknown> => JSON.parse(JSON.stringify(actor.getPersistedSnapshot()))

/** Type, actor, what is above it or where it comes from, what it is about. */
export function toLine(event: InspectionEvent): string {
  const actor = event.actorRef as AnyActorRef // XState knows no others
  assert.equal(event.rootId, actor.sessionId.split('/')[0])
  const type = event.type.replace('@xstate.', '')
  if (event.type === '@xstate.actor') return `${type} ${actor.sessionId} < ${actor._parent?.sessionId}`
  if (event.type === '@xstate.event') return `${type} ${event.sourceRef?.sessionId} > ${actor.sessionId}: ${event.event.type}`
  if (event.type === '@xstate.action') return `${type} ${actor.sessionId}: ${event.action.type}`
  return `${type} ${actor.sessionId}: ${event.event.type}, ${event.snapshot.status}`
}

export function observe(inspection: Inspection): { readonly lines: string[]; readonly events: InspectionEvent[] } {
  const lines: string[] = []
  const events: InspectionEvent[] = []
  inspection.observe((event) => {
    lines.push(toLine(event))
    events.push(event)
  })
  return { lines, events }
}

/** What an inspector sends, without what differs at each sending. */
export const toStable = ({ createdAt: _, ...message }: StatelyInspectionEvent): unknown => message
export const isShipped = (message: StatelyInspectionEvent): boolean =>
  message.type === '@xstate.snapshot' && message.sessionId === 'order-1' && message.snapshot.status === 'done'
export const ofType = <T extends StatelyInspectionEvent['type']>(
  messages: readonly StatelyInspectionEvent[],
  type: T,
): Extract<StatelyInspectionEvent, { type: T }>[] =>
  messages.filter((message): message is Extract<StatelyInspectionEvent, { type: T }> => message.type === type)

/** Lives a run to its end on a screen: `events`, then `ship`. Gives what the screen got, and the record of the run before its end. */
export async function show(
  open: () => Promise<InspectorScreen>,
  events: readonly 'pay'[],
  from?: Snapshot<unknown>,
  late = false,
) {
  await using screen = await open()
  const inspector = createWebSocketInspector({ url: screen.url })
  const inspection = createInspection()
  let told = 0
  const observeAll = (): void => {
    inspection.observe(inspector.inspect)
    inspection.observe(({ type }) => {
      if (/actor|event|snapshot/.test(type)) told++
    })
  }
  if (!late) observeAll()
  const actor = activate(inspection, 'order-1', from)
  for (const type of events) actor.send({ type })
  if (late) observeAll()
  const record = store(actor)
  await screen.until(() => screen.messages.length === told) // an inspector reads an actor a moment after the event
  actor.send({ type: 'ship' })
  await screen.until(() => screen.messages.length === told)
  inspector.stop()
  return { messages: screen.messages, record }
}
