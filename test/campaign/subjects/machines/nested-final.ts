import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** The end of a state carries an output to the state around it, and so on up to the machine. */
export const subject: CrashSubject = async (life) => {
  const exam = setup({
    types: {
      context: {} as { readonly marks: readonly number[] },
      events: {} as { type: 'mark'; mark: number },
      output: {} as number,
    },
  }).createMachine({
    id: 'exam',
    context: { marks: [] },
    initial: 'written',
    states: {
      written: {
        initial: 'open',
        states: { open: { on: { mark: 'marked' } }, marked: { type: 'final', output: ({ event }) => event.mark } },
        onDone: { target: 'oral', actions: assign({ marks: ({ context, event }) => [...context.marks, Number(event.output)] }) },
      },
      oral: {
        initial: 'open',
        states: { open: { on: { mark: 'marked' } }, marked: { type: 'final', output: ({ event }) => event.mark } },
        onDone: {
          target: 'passed',
          actions: assign({ marks: ({ context, event }) => [...context.marks, Number(event.output)] }),
        },
      },
      passed: { type: 'final' },
    },
    output: ({ context }) => context.marks.reduce((sum, mark) => sum + mark, 0),
  })
  const runtime = await life.open({ machines: [exam] })
  const run = await runtime.start(exam, { id: 'exam' })
  await life.outside.once('written', () => run.send({ type: 'mark', mark: 2 }, { id: 'written' }))
  await life.outside.once('oral', () => run.send({ type: 'mark', mark: 1 }, { id: 'oral' }))
  return run.done()
}
