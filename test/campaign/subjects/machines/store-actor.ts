import { fromStore } from '@xstate/store'
import type { CrashSubject } from 'perdure/testing'
import { sendTo, setup } from 'xstate'

/** A store of @xstate/store as a child. */
export const subject: CrashSubject = async (life) => {
  const cart = fromStore({
    context: { items: [] as string[] },
    on: {
      added: (context, event: { item: string }) => ({ items: [...context.items, event.item] }),
      cleared: () => ({ items: [] }),
    },
  })
  const checkout = setup({
    types: { events: {} as { type: 'add'; item: string } | { type: 'clear' } },
    actors: { cart },
  }).createMachine({
    id: 'checkout',
    invoke: { src: 'cart', id: 'cart' },
    on: {
      add: { actions: sendTo('cart', ({ event }) => ({ type: 'added', item: event.item })) },
      clear: { actions: sendTo('cart', { type: 'cleared' }) },
    },
  })
  const runtime = await life.open({ machines: [checkout] })
  const run = await runtime.start(checkout, { id: 'checkout' })
  for (const item of ['tea', 'milk']) await life.outside.once(item, () => run.send({ type: 'add', item }, { id: item }))
  await life.outside.once('clear', () => run.send({ type: 'clear' }, { id: 'clear' }))
  await life.outside.once('rice', () => run.send({ type: 'add', item: 'rice' }, { id: 'rice' }))
  return (await run.snapshot()).children.cart?.getSnapshot().context.items
}
