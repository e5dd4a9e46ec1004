import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** A state that outgrows its head and its deltas: bases are written anew. */
export const subject: CrashSubject = async (life) => {
  const diary = setup({
    types: {
      context: {} as { readonly pages: readonly string[] },
      events: {} as { type: 'write'; n: number } | { type: 'burn' },
    },
  }).createMachine({
    id: 'diary',
    context: { pages: [] },
    on: {
      write: { actions: assign({ pages: ({ context, event }) => [...context.pages, `${event.n} `.repeat(400)] }) },
      burn: { actions: assign({ pages: ({ context }) => context.pages.slice(-1) }) },
    },
  })
  const runtime = await life.open({ machines: [diary] })
  const run = await runtime.start(diary, { id: 'diary' })
  for (let n = 0; n < 12; n++) {
    const type = n % 4 === 3 ? 'burn' : 'write'
    await life.outside.once(`${n}`, () => run.send(type === 'burn' ? { type } : { type, n }, { id: `${n}` }))
  }
  return (await run.snapshot()).context.pages.map((page) => page.length)
}
