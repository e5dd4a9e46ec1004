import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Five runs that are sent events at the same time: their commits share batches. */
export const subject: CrashSubject = async (life) => {
  const box = setup({
    types: { context: {} as { readonly sum: number }, events: {} as { type: 'put'; n: number } },
  }).createMachine({
    id: 'box',
    context: { sum: 0 },
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.sum >= 6, target: 'full' },
        on: { put: { actions: assign({ sum: ({ context, event }) => context.sum + event.n }) } },
      },
      full: { type: 'final' },
    },
    output: ({ context }) => context.sum,
  })
  const runtime = await life.open({ machines: [box] })
  return Promise.all(
    ['a', 'b', 'c', 'd', 'e'].map(async (id) => {
      const run = await runtime.start(box, { id })
      for (const n of [1, 2, 3]) await life.outside.once(`${n} to ${id}`, () => run.send({ type: 'put', n }, { id: `${n}` }))
      return run.done()
    }),
  )
}
