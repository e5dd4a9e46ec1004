import { assign, setup } from 'xstate'

/** The smallest machine with a state that changes: what it costs is what a run costs. */
export const counter = setup({
  types: { context: {} as { readonly count: number }, events: {} as { type: 'flip' } },
}).createMachine({
  id: 'counter',
  context: { count: 0 },
  initial: 'off',
  states: {
    off: { on: { flip: { target: 'on', actions: assign({ count: ({ context }) => context.count + 1 }) } } },
    on: { on: { flip: 'off' } },
  },
})
