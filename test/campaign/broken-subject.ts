import type { CrashSubject } from 'perdure/testing'

/** What the campaign has to find: an effect outside of a step, which is doubled by each death after it. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('careless', async (_: undefined, { step }) => {
    await step('think', () => 'so')
    await life.outside.effect('mail')
    return step('rest', () => 'done')
  })
  return flow.run(undefined, { id: 'careless' })
}
