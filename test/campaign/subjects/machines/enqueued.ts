import { sendToRun } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, enqueueActions, setup } from 'xstate'

/** Actions that are decided one by one; among them messages to two other runs. */
export const subject: CrashSubject = async (life) => {
  const ledger = setup({
    types: { context: {} as { readonly sum: number; readonly entries: number }, events: {} as { type: 'book'; amount: number } },
  }).createMachine({
    id: 'ledger',
    context: { sum: 0, entries: 0 },
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.entries === 3, target: 'closed' },
        on: {
          book: { actions: assign(({ context, event }) => ({ sum: context.sum + event.amount, entries: context.entries + 1 })) },
        },
      },
      closed: { type: 'final' },
    },
    output: ({ context }) => context.sum,
  })
  const bank = setup({
    types: { context: {} as { readonly moved: number }, events: {} as { type: 'move'; amount: number } },
  }).createMachine({
    id: 'bank',
    context: { moved: 0 },
    on: {
      move: {
        actions: enqueueActions(({ context, event, enqueue }) => {
          enqueue.assign({ moved: context.moved + event.amount })
          enqueue(sendToRun('from', { type: 'book', amount: -event.amount }))
          if (event.amount > 0) enqueue(sendToRun('to', { type: 'book', amount: event.amount }))
        }),
      },
    },
  })
  const runtime = await life.open({ machines: [ledger, bank] })
  const [from, to] = [await runtime.start(ledger, { id: 'from' }), await runtime.start(ledger, { id: 'to' })]
  const run = await runtime.start(bank, { id: 'bank' })
  for (const amount of [5, 7, 9])
    await life.outside.once(`${amount}`, () => run.send({ type: 'move', amount }, { id: `${amount}` }))
  return [await from.done(), await to.done(), (await run.snapshot()).context.moved]
}
