import type { CrashSubject } from 'perdure/testing'
import { assign, sendTo, setup } from 'xstate'

/** Siblings that find each other by their system ids. */
export const subject: CrashSubject = async (life) => {
  const printer = setup({
    types: { context: {} as { readonly pages: readonly string[] }, events: {} as { type: 'print'; page: string } },
  }).createMachine({
    id: 'printer',
    context: { pages: [] },
    on: { print: { actions: assign({ pages: ({ context, event }) => [...context.pages, event.page] }) } },
  })
  const author = setup({ types: { events: {} as { type: 'write'; page: string } } }).createMachine({
    id: 'author',
    on: {
      write: {
        actions: sendTo(
          ({ system }) => system.get('printer'),
          ({ event }) => ({ type: 'print', page: event.page }),
        ),
      },
    },
  })
  const house = setup({ types: { events: {} as { type: 'write'; page: string } }, actors: { printer, author } }).createMachine({
    id: 'house',
    invoke: [
      { src: 'printer', id: 'printer', systemId: 'printer' },
      { src: 'author', id: 'author', systemId: 'author' },
    ],
    on: { write: { actions: sendTo('author', ({ event }) => event) } },
  })
  const runtime = await life.open({ machines: [house] })
  const run = await runtime.start(house, { id: 'house' })
  for (const page of ['one', 'two']) await life.outside.once(page, () => run.send({ type: 'write', page }, { id: page }))
  return (await run.snapshot()).children.printer?.getSnapshot().context.pages
}
