import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { type ActorRefFrom, assign, sendParent, setup, stopChild } from 'xstate'

/** Children that are spawned by events, kept as references, work for themselves, and are stopped. */
export const subject: CrashSubject = async (life) => {
  const paint = fromStep(async ({ input, key }: StepArguments<string>) => {
    await life.outside.effect(`painted ${input}`, key)
  })
  const painter = setup({
    types: { context: {} as { readonly wall: string }, input: {} as string },
    actors: { paint },
  }).createMachine({
    id: 'painter',
    context: ({ input }) => ({ wall: input }),
    initial: 'painting',
    states: {
      painting: { invoke: { src: 'paint', input: ({ context }) => context.wall, onDone: 'resting' } },
      resting: { entry: sendParent(({ context }) => ({ type: 'painted', wall: context.wall })) },
    },
  })
  const house = setup({
    types: {
      context: {} as { readonly painters: readonly ActorRefFrom<typeof painter>[]; readonly done: readonly string[] },
      events: {} as { type: 'hire'; wall: string } | { type: 'painted'; wall: string },
    },
    actors: { painter },
  }).createMachine({
    id: 'house',
    context: { painters: [], done: [] },
    initial: 'busy',
    states: {
      busy: {
        always: { guard: ({ context }) => context.done.length === 3, target: 'ready' },
        on: {
          hire: {
            actions: assign({
              painters: ({ context, event, spawn }) => [
                ...context.painters,
                spawn('painter', { id: `painter of ${event.wall}`, input: event.wall }),
              ],
            }),
          },
          painted: {
            actions: [
              stopChild(({ event }) => `painter of ${event.wall}`),
              assign({ done: ({ context, event }) => [...context.done, event.wall].toSorted() }),
            ],
          },
        },
      },
      ready: { type: 'final' },
    },
    output: ({ context }) => context.done,
  })
  const runtime = await life.open({ machines: [house] })
  const run = await runtime.start(house, { id: 'house' })
  for (const wall of ['north', 'east', 'south'])
    await life.outside.once(wall, () => run.send({ type: 'hire', wall }, { id: wall }))
  return run.done()
}
