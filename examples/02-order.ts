/**
 * An ordinary XState machine that survives its process: an order is paid once, and shipped when its time has come.
 *
 *   CRASH=1 node --conditions=perdure/source examples/02-order.ts   # dies right after the payment
 *   node --conditions=perdure/source examples/02-order.ts           # ships it, without paying again
 *
 * PERDURE_DIR: the store.
 */
import { fromStep, openRuntime, type StepArguments } from 'perdure'
import { assign, setup } from 'xstate'

const order = setup({
  types: {
    context: {} as { readonly item: string; readonly receipt: string | undefined },
    input: {} as { readonly item: string },
    output: {} as string,
  },
  actors: {
    // Journaled: once it has settled, it is never executed again. `key` is the same over restarts.
    charge: fromStep(({ input, key }: StepArguments<string>) => {
      console.log(`Charging for ${input} (idempotency key ${key})`)
      return `receipt of ${key}`
    }),
  },
  delays: { packing: 300 },
}).createMachine({
  id: 'order',
  context: ({ input }) => ({ item: input.item, receipt: undefined }),
  initial: 'paying',
  states: {
    paying: {
      invoke: {
        id: 'charge',
        src: 'charge',
        input: ({ context }) => context.item,
        onDone: { target: 'packing', actions: assign({ receipt: ({ event }) => event.output }) },
      },
    },
    packing: { after: { packing: 'shipped' } },
    shipped: { type: 'final' },
  },
  output: ({ context }) => `${context.item} shipped, ${context.receipt}`,
})

const runtime = await openRuntime({ directory: process.env.PERDURE_DIR || '.perdure', machines: [order] })
const run = await runtime.start(order, { id: 'order-17', input: { item: 'a lamp' } }) // the same run when it is there already
if (process.env.CRASH) {
  await run.waitFor('packing')
  process.kill(process.pid, 'SIGKILL') // pull the plug
}
console.log(await run.done())
await runtime.close()
