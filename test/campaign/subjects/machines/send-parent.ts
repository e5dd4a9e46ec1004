import type { CrashSubject } from 'perdure/testing'
import { assign, sendParent, sendTo, setup } from 'xstate'

/** A parent and a child that pass a ball, each pass in the same commit. */
export const subject: CrashSubject = async (life) => {
  const child = setup({ types: { events: {} as { type: 'ball'; n: number } } }).createMachine({
    id: 'child',
    on: { ball: { actions: sendParent(({ event }) => ({ type: 'ball', n: event.n + 1 })) } },
  })
  const parent = setup({
    types: { context: {} as { readonly n: number }, events: {} as { type: 'ball'; n: number } | { type: 'throw' } },
    actors: { child },
  }).createMachine({
    id: 'parent',
    context: { n: 0 },
    invoke: { src: 'child', id: 'child' },
    initial: 'playing',
    states: {
      playing: {
        always: { guard: ({ context }) => context.n >= 40, target: 'tired' },
        on: {
          throw: { actions: sendTo('child', ({ context }) => ({ type: 'ball', n: context.n })) },
          ball: [
            { guard: ({ event }) => event.n % 10 === 0, actions: assign({ n: ({ event }) => event.n }) },
            { actions: [assign({ n: ({ event }) => event.n }), sendTo('child', ({ event }) => event)] },
          ],
        },
      },
      tired: { type: 'final' },
    },
    output: ({ context }) => context.n,
  })
  const runtime = await life.open({ machines: [parent] })
  const run = await runtime.start(parent, { id: 'parent' })
  for (const n of [1, 2, 3, 4]) await life.outside.once(`throw ${n}`, () => run.send({ type: 'throw' }, { id: `throw-${n}` }))
  return run.done()
}
