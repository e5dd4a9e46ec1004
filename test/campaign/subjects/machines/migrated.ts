import type { Migrate } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** The machine of every life after the first is another version: the run is brought over, or was never of the old one. */
export const subject: CrashSubject = async (life) => {
  const build = (version: string, states: readonly [first: string, second: string]) =>
    setup({
      types: { context: {} as { readonly path: readonly string[] }, events: {} as { type: 'next'; n: number } },
      actions: { note: assign({ path: ({ context, event }) => [...context.path, `${event.n}`] }) },
    }).createMachine({
      id: 'parcel',
      version,
      context: { path: [] },
      initial: states[0],
      states: {
        [states[0]]: { on: { next: { target: states[1], actions: 'note' } } },
        [states[1]]: { on: { next: { target: 'delivered', actions: 'note' } } },
        delivered: { type: 'final' },
      },
      output: ({ context }) => context.path,
    })
  const migrate: Migrate = (snapshot) => ({
    ...snapshot,
    value: snapshot.value === 'packed' ? 'boxed' : snapshot.value === 'sent' ? 'shipped' : snapshot.value,
  })
  const machine = life.number === 1 ? build('1', ['packed', 'sent']) : build('2', ['boxed', 'shipped'])
  const runtime = await life.open({ machines: [life.number === 1 ? machine : { machine, migrate }] })
  const run = await runtime.start(machine, { id: 'parcel' })
  for (const n of [1, 2]) await life.outside.once(`next ${n}`, () => run.send({ type: 'next', n }, { id: `next-${n}` }))
  return run.done()
}
