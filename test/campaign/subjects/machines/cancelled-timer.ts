import type { CrashSubject } from 'perdure/testing'
import { assign, cancel, raise, setup } from 'xstate'

/** A timer that is cancelled by its id, and one that takes its place. */
export const subject: CrashSubject = async (life) => {
  const alarm = setup({
    types: {
      context: {} as { readonly rung: readonly string[] },
      events: {} as { type: 'ring'; what: string } | { type: 'snooze' },
    },
  }).createMachine({
    id: 'alarm',
    context: { rung: [] },
    // Not before it is told so: an hour is longer than any history of it.
    entry: raise({ type: 'ring', what: 'early' }, { id: 'ring', delay: 3_600_000 }),
    initial: 'asleep',
    states: {
      asleep: {
        on: {
          snooze: { actions: [cancel('ring'), raise({ type: 'ring', what: 'late' }, { id: 'ring', delay: 5 })] },
          ring: { target: 'awake', actions: assign({ rung: ({ context, event }) => [...context.rung, event.what] }) },
        },
      },
      awake: { after: { 5: 'up' }, on: { ring: { actions: assign({ rung: ['twice'] }) } } },
      up: { type: 'final' },
    },
    output: ({ context }) => context.rung,
  })
  const runtime = await life.open({ machines: [alarm] })
  const run = await runtime.start(alarm, { id: 'alarm' })
  await life.outside.once('snooze', () => run.send({ type: 'snooze' }, { id: 'snooze' }))
  return run.done()
}
