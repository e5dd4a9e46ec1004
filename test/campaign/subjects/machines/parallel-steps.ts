import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

const names = ['a', 'b', 'c', 'd', 'e']

/** Five steps at once: what had settled stays. */
export const subject: CrashSubject = async (life) => {
  const work = fromStep(async ({ input, key }: StepArguments<string>) => {
    await life.outside.effect(`worked on ${input}`, key)
    return input
  })
  const farm = setup({ types: { context: {} as Readonly<Record<string, string>> }, actors: { work } }).createMachine({
    id: 'farm',
    context: {},
    type: 'parallel',
    states: Object.fromEntries(
      names.map((name) => [
        name,
        {
          initial: 'busy',
          states: {
            busy: {
              invoke: {
                src: 'work' as const,
                id: name,
                input: name,
                onDone: { target: 'over', actions: assign(({ event }) => ({ [name]: event.output })) },
              },
            },
            over: { type: 'final' as const },
          },
        },
      ]),
    ),
    output: ({ context }) => names.map((name) => context[name]),
  })
  const runtime = await life.open({ machines: [farm] })
  return (await runtime.start(farm, { id: 'farm' })).done()
}
