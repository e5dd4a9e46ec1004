import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Three bookings, the last of which fails: what was booked is cancelled again, in the other order. */
export const subject: CrashSubject = async (life) => {
  const book = fromStep(async ({ input, key }: StepArguments<string>) => {
    if (input === 'car') throw new Error('no car is left')
    await life.outside.effect(`booked ${input}`, key)
    return input
  })
  const undo = fromStep(async ({ input, key }: StepArguments<string>) => life.outside.effect(`cancelled ${input}`, key))
  const all = ['flight', 'hotel', 'car']
  const trip = setup({ types: { context: {} as { readonly booked: readonly string[] } }, actors: { book, undo } }).createMachine({
    id: 'trip',
    context: { booked: [] },
    initial: 'booking',
    states: {
      booking: {
        always: { guard: ({ context }) => context.booked.length === all.length, target: 'booked' },
        invoke: {
          src: 'book',
          input: ({ context }) => all[context.booked.length] ?? '',
          onDone: {
            target: 'booking',
            reenter: true,
            actions: assign({ booked: ({ context, event }) => [...context.booked, event.output] }),
          },
          onError: 'undoing',
        },
      },
      undoing: {
        always: { guard: ({ context }) => context.booked.length === 0, target: 'cancelled' },
        invoke: {
          src: 'undo',
          input: ({ context }) => context.booked.at(-1) ?? '',
          onDone: { target: 'undoing', reenter: true, actions: assign({ booked: ({ context }) => context.booked.slice(0, -1) }) },
        },
      },
      booked: { type: 'final' },
      cancelled: { type: 'final' },
    },
    output: ({ context }) => context.booked.length,
  })
  const runtime = await life.open({ machines: [trip] })
  return (await runtime.start(trip, { id: 'trip' })).done()
}
