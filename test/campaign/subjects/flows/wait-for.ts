import type { CrashSubject } from 'perdure/testing'
import { z } from 'zod'

/** Waits for events from outside, which are sent with ids, before and while the flow waits for them. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const paid = z.object({ type: z.literal('paid'), amount: z.number() })
  const isOpen = Promise.withResolvers<void>()
  const flow = runtime.flow('invoice', async (_: undefined, { step, waitFor }) => {
    await step('open', () => undefined)
    isOpen.resolve()
    let rest = 60
    while (rest > 0) {
      const { amount } = await waitFor('paid', { schema: paid })
      rest -= amount
      await step('book', ({ key }) => outside.effect(`${amount} booked`, key))
    }
    const { by } = await waitFor('signed')
    return `signed by ${by}`
  })
  const result = flow.run(undefined, { id: 'invoice' })
  const run = runtime.get('invoice')
  const send = async (): Promise<void> => {
    await Promise.race([isOpen.promise, result]) // before, there is no run that could be sent anything
    for (const amount of [10, 20, 30])
      await outside.once(`paid ${amount}`, () => run.send({ type: 'paid', amount }, { id: `payment-${amount}` }))
    await outside.once('signed', () => run.send({ type: 'signed', by: 'Ada' }, { id: 'signature' }))
  }
  const [output] = await Promise.all([result, send()])
  return output
}
