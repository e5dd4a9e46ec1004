import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Many events with ids, some of them sent twice and at the same time: each counts once, in the order of its sender. */
export const subject: CrashSubject = async (life) => {
  const counter = setup({
    types: { context: {} as { readonly got: readonly number[] }, events: {} as { type: 'add'; n: number } | { type: 'close' } },
  }).createMachine({
    id: 'counter',
    context: { got: [] },
    initial: 'open',
    states: {
      open: { on: { add: { actions: assign({ got: ({ context, event }) => [...context.got, event.n] }) }, close: 'closed' } },
      closed: { type: 'final' },
    },
    output: ({ context }) => context.got,
  })
  const runtime = await life.open({ machines: [counter] })
  const run = await runtime.start(counter, { id: 'counter' })
  const add = (n: number) => run.send({ type: 'add', n }, { id: `add-${n}` })
  for (let n = 0; n < 8; n += 2)
    await life.outside.once(`add ${n}`, async () => {
      await Promise.all([add(n), add(n + 1), add(n)])
    })
  await add(0)
  await life.outside.once('close', () => run.send({ type: 'close' }, { id: 'close' }))
  return run.done()
}
