import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Steps and children that fail, and a machine that goes on. */
export const subject: CrashSubject = async (life) => {
  const fail = fromStep(async ({ input, key }: StepArguments<string>): Promise<string> => {
    await life.outside.effect(`tried ${input}`, key)
    throw new RangeError(`${input} is out of range`)
  })
  const probe = setup({
    types: { input: {} as string, context: {} as { readonly what: string } },
    actors: { fail },
  }).createMachine({
    id: 'probe',
    context: ({ input }) => ({ what: input }),
    initial: 'probing',
    states: { probing: { invoke: { src: 'fail', input: ({ context }) => context.what } } },
  })
  const toText = (error: unknown): string => (error instanceof Error ? `${error.name}: ${error.message}` : String(error))
  const lab = setup({ types: { context: {} as { readonly errors: readonly string[] } }, actors: { fail, probe } }).createMachine({
    id: 'lab',
    context: { errors: [] },
    initial: 'first',
    states: {
      first: {
        invoke: {
          src: 'fail',
          input: 'x',
          onError: {
            target: 'second',
            actions: assign({ errors: ({ context, event }) => [...context.errors, toText(event.error)] }),
          },
        },
      },
      second: {
        invoke: {
          src: 'probe',
          input: 'y',
          onError: {
            target: 'over',
            actions: assign({ errors: ({ context, event }) => [...context.errors, toText(event.error)] }),
          },
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.errors,
  })
  const runtime = await life.open({ machines: [lab] })
  return (await runtime.start(lab, { id: 'lab' })).done()
}
