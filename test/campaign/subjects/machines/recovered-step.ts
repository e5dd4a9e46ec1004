import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A step that was cut off is asked for by its key, and settled from there. */
export const subject: CrashSubject = async (life) => {
  const book = async ({ input, key }: StepArguments<string>) => {
    await life.outside.effect(`booked ${input}`, key)
    return `booked ${input}`
  }
  const booking = fromStep(book, { recover: async (step) => ({ status: 'settled', value: await book(step) }) })
  const desk = setup({ types: { context: {} as { readonly what?: string } }, actors: { booking } }).createMachine({
    id: 'desk',
    context: {},
    initial: 'booking',
    states: {
      booking: {
        invoke: {
          src: 'booking',
          input: 'room 7',
          onDone: { target: 'booked', actions: assign({ what: ({ event }) => event.output }) },
        },
      },
      booked: { type: 'final' },
    },
    output: ({ context }) => context.what,
  })
  const runtime = await life.open({ machines: [desk] })
  return (await runtime.start(desk, { id: 'desk' })).done()
}
