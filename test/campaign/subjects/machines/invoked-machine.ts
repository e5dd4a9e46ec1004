import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A machine that invokes a machine that invokes a step; each gives its output to the one above. */
export const subject: CrashSubject = async (life) => {
  const bake = fromStep(async ({ input, key }: StepArguments<string>) => {
    await life.outside.effect(`baked ${input}`, key)
    return `${input} bread`
  })
  const baker = setup({
    types: { context: {} as { readonly grain: string; readonly bread?: string }, input: {} as string, output: {} as string },
    actors: { bake },
  }).createMachine({
    id: 'baker',
    context: ({ input }) => ({ grain: input }),
    initial: 'kneading',
    states: {
      kneading: { after: { 3: 'baking' } },
      baking: {
        invoke: {
          src: 'bake',
          input: ({ context }) => context.grain,
          onDone: { target: 'done', actions: assign({ bread: ({ event }) => event.output }) },
        },
      },
      done: { type: 'final' },
    },
    output: ({ context }) => context.bread ?? '',
  })
  const shop = setup({ types: { context: {} as { readonly shelf: readonly string[] } }, actors: { baker } }).createMachine({
    id: 'shop',
    context: { shelf: [] },
    initial: 'first',
    states: {
      first: {
        invoke: {
          src: 'baker',
          input: 'rye',
          onDone: { target: 'second', actions: assign({ shelf: ({ context, event }) => [...context.shelf, event.output] }) },
        },
      },
      second: {
        invoke: {
          src: 'baker',
          input: 'wheat',
          onDone: { target: 'open', actions: assign({ shelf: ({ context, event }) => [...context.shelf, event.output] }) },
        },
      },
      open: { type: 'final' },
    },
    output: ({ context }) => context.shelf,
  })
  const runtime = await life.open({ machines: [shop] })
  return (await runtime.start(shop, { id: 'shop' })).done()
}
