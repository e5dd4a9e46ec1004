import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Transitions without events, one after the other, after each event from outside. */
export const subject: CrashSubject = async (life) => {
  const sieve = setup({
    types: { context: {} as { readonly n: number; readonly path: readonly string[] }, events: {} as { type: 'add'; n: number } },
  }).createMachine({
    id: 'sieve',
    context: { n: 0, path: [] },
    initial: 'waiting',
    states: {
      waiting: { on: { add: { target: 'even', actions: assign({ n: ({ context, event }) => context.n + event.n }) } } },
      even: {
        entry: assign({ path: ({ context }) => [...context.path, `even? ${context.n}`] }),
        always: [{ guard: ({ context }) => context.n % 2 === 0, target: 'halved' }, { target: 'large' }],
      },
      halved: { entry: assign({ n: ({ context }) => context.n / 2 }), always: 'even' },
      large: { always: [{ guard: ({ context }) => context.n > 20, target: 'over' }, { target: 'waiting' }] },
      over: { type: 'final' },
    },
    output: ({ context }) => context.path,
  })
  const runtime = await life.open({ machines: [sieve] })
  const run = await runtime.start(sieve, { id: 'sieve' })
  for (const n of [12, 5, 30]) await life.outside.once(`add ${n}`, () => run.send({ type: 'add', n }, { id: `add-${n}` }))
  return run.done()
}
