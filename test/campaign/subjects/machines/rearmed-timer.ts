import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A timer that is set anew each time that it fires. */
export const subject: CrashSubject = async (life) => {
  const ticker = setup({
    types: { context: {} as { readonly ticks: number } },
    delays: { pause: ({ context }) => 1 + context.ticks },
  }).createMachine({
    id: 'ticker',
    context: { ticks: 0 },
    initial: 'ticking',
    states: {
      ticking: {
        always: { guard: ({ context }) => context.ticks === 5, target: 'over' },
        after: { pause: { target: 'ticking', reenter: true, actions: assign({ ticks: ({ context }) => context.ticks + 1 }) } },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.ticks,
  })
  const runtime = await life.open({ machines: [ticker] })
  return (await runtime.start(ticker, { id: 'ticker' })).done()
}
