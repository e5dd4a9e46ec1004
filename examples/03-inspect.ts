/**
 * An order in the Stately Inspector: alive, and restored when the runtime was opened again, as one and the same actor.
 *
 *   node --conditions=perdure/source examples/03-inspect.ts    # prints what the inspector is told
 *
 * To watch it in a browser: start the inspector's server, which opens https://stately.ai/inspect, and say where it is. It keeps the last 200
 * messages for a browser that comes later.
 *
 *   node -e "import('@statelyai/inspect/server').then(({ createInspectorServer }) => createInspectorServer({ port: 8080 }))"
 *   INSPECTOR_URL=ws://localhost:8080 node --conditions=perdure/source examples/03-inspect.ts
 *
 * PERDURE_DIR: the store.
 */
import { createWebSocketInspector, type StatelyInspectionEvent } from '@statelyai/inspect'
import { openRuntime } from 'perdure'
import { sendTo, setup } from 'xstate'
import { openScreen } from './support/inspector-screen.ts'

const parcel = setup({}).createMachine({
  id: 'parcel',
  initial: 'underway',
  states: { underway: { on: { hand: 'delivered' } }, delivered: { type: 'final' } },
})
const order = setup({ actors: { parcel } }).createMachine({
  id: 'order',
  initial: 'open',
  states: {
    open: { on: { pay: 'paid' } },
    paid: {
      invoke: { src: 'parcel', id: 'parcel', onDone: 'done' },
      on: { deliver: { actions: sendTo('parcel', { type: 'hand' }) } },
    },
    done: { type: 'final' },
  },
})

async function main(): Promise<void> {
  const { INSPECTOR_URL, PERDURE_DIR } = process.env
  await using screen = await openScreen(INSPECTOR_URL || undefined)
  const inspector = createWebSocketInspector({ url: screen.url })
  const open = () =>
    openRuntime({ directory: PERDURE_DIR || '.perdure', machines: [order], inspect: inspector.inspect, log: 'silent' })

  let id: string
  {
    await using runtime = await open()
    const run = await runtime.start(order)
    await run.send({ type: 'pay' })
    id = run.id
  }
  {
    await using runtime = await open() // another process, if you like
    const run = runtime.get<typeof order>(id)
    await run.send({ type: 'deliver' })
    await run.done()
  }

  const isEnd = (message: StatelyInspectionEvent): boolean =>
    message.type === '@xstate.snapshot' && message.sessionId === id && message.snapshot.status === 'done'
  await screen.until(isEnd) // an inspector sends a moment later
  inspector.stop()
  for (const message of screen.messages.filter(({ rootId }) => rootId === id)) console.log(toLine(message))
}

function toLine(message: StatelyInspectionEvent): string {
  const line = `${message.type} ${message.sessionId}`
  if (message.type === '@xstate.actor') return `${line} (${message.name})`
  if (message.type === '@xstate.event') return `${line} ← ${message.event.type}`
  const { status, value } = message.snapshot as { readonly status: string; readonly value?: unknown } // of any logic, as JSON
  return `${line} = ${JSON.stringify(value ?? status)}`
}

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exit(1) // an inspector that has lost its server goes on trying
}
