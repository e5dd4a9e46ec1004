import type { CrashSubject } from 'perdure/testing'
import { assign, sendParent, sendTo, setup } from 'xstate'

/** Events with a delay to a child, which answers with a delay. */
export const subject: CrashSubject = async (life) => {
  const bell = setup({ types: { events: {} as { type: 'pull'; n: number } } }).createMachine({
    id: 'bell',
    on: { pull: { actions: sendParent(({ event }) => ({ type: 'rung', n: event.n }), { delay: 3 }) } },
  })
  const tower = setup({
    types: { context: {} as { readonly rung: readonly number[] }, events: {} as { type: 'rung'; n: number } },
    actors: { bell },
  }).createMachine({
    id: 'tower',
    context: { rung: [] },
    invoke: { src: 'bell', id: 'bell' },
    entry: [
      sendTo('bell', { type: 'pull', n: 1 }, { delay: 2 }),
      sendTo('bell', { type: 'pull', n: 2 }, { delay: 9, id: 'second' }),
    ],
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context }) => context.rung.length === 2, target: 'over' },
        on: { rung: { actions: assign({ rung: ({ context, event }) => [...context.rung, event.n] }) } },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.rung,
  })
  const runtime = await life.open({ machines: [tower] })
  return (await runtime.start(tower, { id: 'tower' })).done()
}
