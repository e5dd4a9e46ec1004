import type { CrashSubject } from 'perdure/testing'

/** A flow with an effect outside of a step: what comes after the effect is on record, the effect is not. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('order', async (_, { step }) => {
    const parcel = await step('pack', () => 'parcel')
    await life.outside.effect(parcel)
    return await step('note', () => 'sent')
  })
  return await flow.run('book')
}
