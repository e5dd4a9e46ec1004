import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A state that is entered again for each page, until there is none: the steps are told apart by their count. */
export const subject: CrashSubject = async (life) => {
  const load = fromStep(
    async ({ input, key }: StepArguments<number>) => {
      await life.outside.effect(`page ${input}`, key)
      return input < 6 ? input + 1 : undefined
    },
    { effect: false },
  )
  const pager = setup({ types: { context: {} as { readonly page: number | undefined } }, actors: { load } }).createMachine({
    id: 'pager',
    context: { page: 1 },
    initial: 'loading',
    states: {
      loading: {
        always: { guard: ({ context }) => context.page === undefined, target: 'over' },
        invoke: {
          src: 'load',
          input: ({ context }) => context.page ?? 0,
          onDone: { target: 'loading', reenter: true, actions: assign({ page: ({ event }) => event.output }) },
        },
      },
      over: { type: 'final' },
    },
  })
  const runtime = await life.open({ machines: [pager] })
  const run = await runtime.start(pager, { id: 'pager' })
  await run.done()
  return 'all pages'
}
