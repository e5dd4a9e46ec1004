import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A context of values that JSON does not know, which grows by each event. */
export const subject: CrashSubject = async (life) => {
  interface Context {
    readonly byName: ReadonlyMap<string, Date>
    readonly seen: ReadonlySet<string>
    readonly bytes: Uint8Array
    readonly big: bigint
    readonly missing: undefined
  }
  const album = setup({
    types: { context: {} as Context, events: {} as { type: 'add'; name: string; year: number } | { type: 'close' } },
  }).createMachine({
    id: 'album',
    context: { byName: new Map(), seen: new Set(), bytes: new Uint8Array([1, 2]), big: 2n ** 70n, missing: undefined },
    initial: 'open',
    states: {
      open: {
        on: {
          add: {
            actions: assign(({ context, event }) => ({
              byName: new Map([...context.byName, [event.name, new Date(Date.UTC(event.year, 0, 1))]]),
              seen: new Set([...context.seen, event.name]),
              bytes: new Uint8Array([...context.bytes, event.year % 256]),
              big: context.big + BigInt(event.year),
            })),
          },
          close: 'closed',
        },
      },
      closed: { type: 'final' },
    },
    output: ({ context }) => context,
  })
  const runtime = await life.open({ machines: [album] })
  const run = await runtime.start(album, { id: 'album' })
  for (const [index, name] of ['ada', 'bob', 'cy'].entries())
    await life.outside.once(name, () => run.send({ type: 'add', name, year: 1900 + index }, { id: name }))
  await life.outside.once('close', () => run.send({ type: 'close' }, { id: 'close' }))
  return run.done()
}
