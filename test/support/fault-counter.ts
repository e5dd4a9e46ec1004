import { fromStep, type StepArguments } from 'perdure'
import { assign, setup } from 'xstate'

/** A machine that keeps the numbers it is sent, in their order; when it is told to finish, it does something outside, rests and is done. */
export const createCounter = (did: (name: string) => void, { restMs }: { readonly restMs: number }) =>
  setup({
    types: {
      context: {} as { readonly numbers: readonly number[]; readonly pads: readonly string[]; readonly seal: string },
      events: {} as
        | { readonly type: 'add'; readonly n: number; readonly pad: string }
        | { readonly type: 'finish'; readonly n: number; readonly pad: string },
    },
    actors: {
      seal: fromStep(({ input, key }: StepArguments<number>) => {
        did(`step ${key}`)
        return `sealed ${input}`
      }),
    },
    delays: { rest: restMs },
  }).createMachine({
    id: 'counter',
    context: { numbers: [], pads: [], seal: '' },
    initial: 'counting',
    states: {
      counting: {
        on: {
          add: {
            actions: assign({
              numbers: ({ context, event }) => [...context.numbers, event.n],
              pads: ({ context, event }) => [...context.pads, event.pad],
            }),
          },
          finish: 'sealing',
        },
      },
      sealing: {
        invoke: {
          src: 'seal',
          input: ({ context }) => context.numbers.length,
          onDone: { target: 'resting', actions: assign({ seal: ({ event }) => event.output }) },
        },
      },
      resting: { after: { rest: 'done' } },
      done: { type: 'final' },
    },
    output: ({ context }) => ({ numbers: context.numbers, seal: context.seal }),
  })
