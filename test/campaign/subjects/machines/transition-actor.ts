import type { CrashSubject } from 'perdure/testing'
import { fromTransition, sendTo, setup } from 'xstate'

/** A reducer as a child: its state is part of the run. */
export const subject: CrashSubject = async (life) => {
  const tally = fromTransition((total: number, event: { type: 'add'; n: number }) => total + event.n, 0)
  const shop = setup({
    types: { events: {} as { type: 'sell'; n: number } | { type: 'close' } },
    actors: { tally },
  }).createMachine({
    id: 'shop',
    invoke: { src: 'tally', id: 'tally' },
    initial: 'open',
    states: {
      open: { on: { sell: { actions: sendTo('tally', ({ event }) => ({ type: 'add', n: event.n })) }, close: 'closed' } },
      closed: {},
    },
  })
  const runtime = await life.open({ machines: [shop] })
  const run = await runtime.start(shop, { id: 'shop' })
  for (const n of [1, 10, 100]) await life.outside.once(`sell ${n}`, () => run.send({ type: 'sell', n }, { id: `sale-${n}` }))
  await life.outside.once('close', () => run.send({ type: 'close' }, { id: 'close' }))
  return (await run.waitFor('closed')).children.tally?.getSnapshot().context
}
