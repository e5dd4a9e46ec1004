import type { CrashSubject } from 'perdure/testing'
import { and, assign, not, or, setup, stateIn } from 'xstate'

/** Guards that are combined, look at states, and take params. */
export const subject: CrashSubject = async (life) => {
  const door = setup({
    types: {
      context: {} as { readonly knocks: number; readonly log: readonly string[] },
      events: {} as { type: 'knock' } | { type: 'turn'; key: string } | { type: 'push' },
    },
    guards: {
      hasKnocked: ({ context }, { times }: { times: number }) => context.knocks >= times,
      fits: ({ event }) => event.type === 'turn' && event.key === 'brass',
    },
    actions: { note: assign({ log: ({ context, event }) => [...context.log, event.type] }) },
  }).createMachine({
    id: 'door',
    context: { knocks: 0, log: [] },
    type: 'parallel',
    states: {
      lock: {
        initial: 'locked',
        states: {
          locked: {
            on: {
              turn: { guard: and(['fits', { type: 'hasKnocked', params: { times: 2 } }]), target: 'unlocked', actions: 'note' },
            },
          },
          unlocked: {},
        },
      },
      leaf: {
        initial: 'shut',
        states: {
          shut: {
            on: {
              push: {
                guard: or([stateIn({ lock: 'unlocked' }), not({ type: 'hasKnocked', params: { times: 1 } })]),
                target: 'open',
                actions: 'note',
              },
            },
          },
          open: {},
        },
      },
    },
    on: { knock: { actions: [assign({ knocks: ({ context }) => context.knocks + 1 }), 'note'] } },
  })
  const runtime = await life.open({ machines: [door] })
  const run = await runtime.start(door, { id: 'door' })
  const events = [
    { type: 'knock' },
    { type: 'turn', key: 'brass' },
    { type: 'push' },
    { type: 'knock' },
    { type: 'turn', key: 'iron' },
    { type: 'turn', key: 'brass' },
    { type: 'push' },
  ] as const
  for (const [index, event] of events.entries())
    await life.outside.once(`${index}`, () => run.send(event, { id: `event-${index}` }))
  const { value, context } = await run.snapshot()
  return [value, context.log]
}
