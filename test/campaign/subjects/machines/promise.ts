import type { CrashSubject } from 'perdure/testing'
import { assign, fromPromise, setup } from 'xstate'

/** Promises as XState has them: they may run again, and the machine takes one result. */
export const subject: CrashSubject = async (life) => {
  const double = fromPromise(async ({ input }: { input: number }) => input * 2)
  const doubler = setup({ types: { context: {} as { readonly n: number } }, actors: { double } }).createMachine({
    id: 'doubler',
    context: { n: 1 },
    initial: 'busy',
    states: {
      busy: {
        always: { guard: ({ context }) => context.n >= 16, target: 'over' },
        invoke: {
          src: 'double',
          input: ({ context }) => context.n,
          onDone: { target: 'busy', reenter: true, actions: assign({ n: ({ event }) => event.output }) },
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.n,
  })
  const runtime = await life.open({ machines: [doubler] })
  return (await runtime.start(doubler, { id: 'doubler' })).done()
}
