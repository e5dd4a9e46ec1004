import { sendToRun } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { setup } from 'xstate'

/** A flow starts a machine, which sends it messages, and waits for its end. */
export const subject: CrashSubject = async (life) => {
  const bakery = setup({ types: { events: {} as { type: 'order'; bread: string } | { type: 'close' } } }).createMachine({
    id: 'bakery',
    initial: 'open',
    states: {
      open: {
        on: {
          order: { actions: sendToRun('breakfast', ({ event }) => ({ type: 'baked', bread: event.bread })) },
          close: 'closed',
        },
      },
      closed: { type: 'final' },
    },
  })
  const runtime = await life.open({ machines: [bakery] })
  const flow = runtime.flow('breakfast', async (_: undefined, { step, waitFor }) => {
    const run = await runtime.start(bakery, { id: 'bakery' })
    const got: unknown[] = []
    for (const bread of ['rye', 'wheat']) {
      await step(`order ${bread}`, ({ key }) => run.send({ type: 'order', bread }, { id: key }))
      got.push((await waitFor('baked')).bread)
      await step(`eat ${bread}`, ({ key }) => life.outside.effect(`ate ${bread}`, key))
    }
    await step('close', ({ key }) => run.send({ type: 'close' }, { id: key }))
    await run.done()
    return got
  })
  return flow.run(undefined, { id: 'breakfast' })
}
