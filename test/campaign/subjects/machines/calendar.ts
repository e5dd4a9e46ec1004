import type { CrashSubject } from 'perdure/testing'
import { assign, raise, setup } from 'xstate'

const minute = 60_000

/** An order that is reminded of every seven minutes and expires after thirty, and is not in memory while it waits. */
export const subject: CrashSubject = async (life) => {
  const order = setup({
    types: { context: {} as { readonly reminders: number }, events: {} as { type: 'remind' } },
  }).createMachine({
    id: 'order',
    context: { reminders: 0 },
    entry: raise({ type: 'remind' }, { delay: 7 * minute }),
    initial: 'open',
    states: {
      open: {
        on: {
          remind: {
            actions: [
              assign({ reminders: ({ context }) => context.reminders + 1 }),
              raise({ type: 'remind' }, { delay: 7 * minute }),
            ],
          },
        },
        after: { [30 * minute]: 'expired' },
      },
      expired: { type: 'final' },
    },
    output: ({ context }) => context.reminders,
  })
  const runtime = await life.open({ machines: [order], passivate: { afterMs: 1_000 } })
  return (await runtime.start(order, { id: 'order' })).done()
}
