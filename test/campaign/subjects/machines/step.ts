import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** An order: charged once, shipped once. */
export const subject: CrashSubject = async (life) => {
  const effect = (what: string) =>
    fromStep(async ({ input, key }: StepArguments<string>) => {
      await life.outside.effect(`${what} ${input}`, key)
      return `${what} ${input}`
    })
  const order = setup({
    types: { context: {} as { readonly done: readonly string[] }, events: {} as { type: 'pay'; card: string } },
    actors: { charge: effect('charged'), ship: effect('shipped') },
  }).createMachine({
    id: 'order',
    context: { done: [] },
    initial: 'open',
    states: {
      open: { on: { pay: 'paying' } },
      paying: {
        invoke: {
          src: 'charge',
          input: ({ event }) => event.card,
          onDone: { target: 'shipping', actions: assign({ done: ({ context, event }) => [...context.done, event.output] }) },
        },
      },
      shipping: {
        invoke: {
          src: 'ship',
          input: 'tea',
          onDone: { target: 'shipped', actions: assign({ done: ({ context, event }) => [...context.done, event.output] }) },
        },
      },
      shipped: { type: 'final' },
    },
    output: ({ context }) => context.done,
  })
  const runtime = await life.open({ machines: [order] })
  const run = await runtime.start(order, { id: 'order' })
  await life.outside.once('pay', () => run.send({ type: 'pay', card: 'visa' }, { id: 'click' }))
  return run.done()
}
