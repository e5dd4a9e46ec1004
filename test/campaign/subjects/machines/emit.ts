import type { CrashSubject } from 'perdure/testing'
import { assign, emit, setup } from 'xstate'

/** What a machine emits is heard when its state is on disk: what a death takes back was not heard. */
export const subject: CrashSubject = async (life) => {
  const meter = setup({
    types: {
      context: {} as { readonly level: number },
      events: {} as { type: 'rise'; by: number },
      emitted: {} as { type: 'level'; level: number },
    },
  }).createMachine({
    id: 'meter',
    context: { level: 0 },
    initial: 'measuring',
    states: {
      measuring: {
        always: { guard: ({ context }) => context.level >= 6, target: 'flooded' },
        on: {
          rise: {
            actions: [
              assign({ level: ({ context, event }) => context.level + event.by }),
              emit(({ context }) => ({ type: 'level', level: context.level })),
            ],
          },
        },
      },
      flooded: { type: 'final' },
    },
    output: ({ context }) => context.level,
  })
  const runtime = await life.open({ machines: [meter] })
  const run = await runtime.start(meter, { id: 'meter' })
  run.on('level', ({ level }) => life.outside.heard('meter', `level ${level}`))
  for (const by of [1, 2, 3]) await life.outside.once(`rise ${by}`, () => run.send({ type: 'rise', by }, { id: `rise-${by}` }))
  return run.done()
}
