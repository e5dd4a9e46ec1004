import type { CrashSubject } from 'perdure/testing'
import { assign, raise, setup } from 'xstate'

/** Events that a machine sends to itself, later. */
export const subject: CrashSubject = async (life) => {
  const echo = setup({
    types: { context: {} as { readonly heard: readonly number[] }, events: {} as { type: 'echo'; n: number } },
  }).createMachine({
    id: 'echo',
    context: { heard: [] },
    entry: [raise({ type: 'echo', n: 2 }, { delay: 6 }), raise({ type: 'echo', n: 1 }, { delay: 3 })],
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.heard.length === 4, target: 'over' },
        on: {
          echo: [
            {
              guard: ({ event }) => event.n < 3,
              actions: [
                assign({ heard: ({ context, event }) => [...context.heard, event.n] }),
                raise(({ event }) => ({ type: 'echo' as const, n: event.n + 10 }), { delay: 9 }),
              ],
            },
            { actions: assign({ heard: ({ context, event }) => [...context.heard, event.n] }) },
          ],
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.heard,
  })
  const runtime = await life.open({ machines: [echo] })
  return (await runtime.start(echo, { id: 'echo' })).done()
}
