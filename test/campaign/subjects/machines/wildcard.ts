import type { CrashSubject } from 'perdure/testing'
import { assign, setup } from 'xstate'

/** Events that are taken by name, by prefix, by anybody, and by nobody. */
export const subject: CrashSubject = async (life) => {
  const post = setup({
    types: {
      context: {} as { readonly log: readonly string[] },
      events: {} as { type: `mail.${string}` } | { type: 'bill' } | { type: 'ad' },
    },
  }).createMachine({
    id: 'post',
    context: { log: [] },
    initial: 'open',
    states: {
      open: {
        on: {
          'mail.last': { target: 'closed', actions: assign({ log: ({ context }) => [...context.log, 'last'] }) },
          'mail.*': { actions: assign({ log: ({ context, event }) => [...context.log, event.type] }) },
          ad: {},
          '*': { actions: assign({ log: ({ context, event }) => [...context.log, `other ${event.type}`] }) },
        },
      },
      closed: {},
    },
  })
  const runtime = await life.open({ machines: [post] })
  const run = await runtime.start(post, { id: 'post' })
  for (const type of ['mail.air', 'ad', 'bill', 'mail.sea.slow', 'mail.last', 'ad', 'bill'] as const)
    await life.outside.once(type, () => run.send({ type }, { id: type }))
  return (await run.snapshot()).context.log
}
