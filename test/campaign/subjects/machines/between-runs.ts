import { sendToRun } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { assign, enqueueActions, setup } from 'xstate'

/** Three runs pass two tokens around; each hop is taken once, and those of one token in their order. */
export const subject: CrashSubject = async (life) => {
  type Taken = Readonly<Record<'x' | 'y', readonly number[]>>
  const member = setup({
    types: {
      context: {} as { readonly next: string; readonly taken: Taken },
      input: {} as { readonly next: string },
      events: {} as { type: 'token'; name: 'x' | 'y'; hops: number },
      output: {} as Taken,
    },
  }).createMachine({
    id: 'member',
    context: ({ input: { next } }) => ({ next, taken: { x: [], y: [] } }),
    initial: 'open',
    states: {
      open: {
        always: { guard: ({ context: { taken } }) => taken.x.length + taken.y.length === 4, target: 'over' },
        on: {
          token: {
            actions: [
              assign({
                taken: ({ context: { taken }, event: { name, hops } }) => ({ ...taken, [name]: [...taken[name], hops] }),
              }),
              enqueueActions(({ context, event, enqueue }) => {
                if (event.hops < 5) enqueue(sendToRun(context.next, { ...event, hops: event.hops + 1 }))
              }),
            ],
          },
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context.taken,
  })
  const runtime = await life.open({ machines: [member] })
  const ids = ['a', 'b', 'c']
  for (const [index, id] of ids.entries()) await runtime.start(member, { id, input: { next: ids[(index + 1) % 3] ?? '' } })
  for (const name of ['x', 'y'] as const)
    await life.outside.once(name, () => runtime.get<typeof member>('a').send({ type: 'token', name, hops: 0 }, { id: name }))
  return Promise.all(ids.map((id) => runtime.get<typeof member>(id).done()))
}
