import { fromStep, type StepArguments, sendToRun } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Runs that are dropped from memory whenever they wait, and come back for events, messages and deadlines. */
export const subject: CrashSubject = async (life) => {
  const sign = fromStep(async ({ key }: StepArguments<undefined>) => life.outside.effect('signed', key))
  const clerk = setup({
    types: { context: {} as { readonly letters: number }, events: {} as { type: 'letter' } },
    actors: { sign },
  }).createMachine({
    id: 'clerk',
    context: { letters: 0 },
    initial: 'waiting',
    states: {
      waiting: {
        always: { guard: ({ context }) => context.letters === 3, target: 'resting' },
        on: { letter: { target: 'signing', actions: assign({ letters: ({ context }) => context.letters + 1 }) } },
      },
      signing: { invoke: { src: 'sign', onDone: 'waiting' }, on: { letter: { actions: assign({ letters: 99 }) } } },
      resting: { after: { 5: 'over' } },
      over: { type: 'final', entry: sendToRun('chief', { type: 'finished' }) },
    },
    output: ({ context }) => context.letters,
  })
  const chief = setup({ types: { events: {} as { type: 'finished' } } }).createMachine({
    id: 'chief',
    initial: 'waiting',
    states: { waiting: { on: { finished: 'pleased' } }, pleased: { after: { 4: 'home' } }, home: { type: 'final' } },
  })
  const runtime = await life.open({ machines: [clerk, chief], passivate: { afterMs: 0, maxIdle: 0 } })
  const boss = await runtime.start(chief, { id: 'chief' })
  const run = await runtime.start(clerk, { id: 'clerk' })
  for (const n of [1, 2, 3]) {
    await run.waitFor(({ value, context }) => context.letters >= n || (value === 'waiting' && context.letters === n - 1))
    await life.outside.once(`letter ${n}`, () => run.send({ type: 'letter' }, { id: `letter-${n}` }))
  }
  await boss.done()
  return run.done()
}
