import type { CrashSubject } from 'perdure/testing'

/** A flow with an effect on each side of a sleep, and how long it took from its beginning to its end, over all lives. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('order', async (input: string, { step, sleep }) => {
    const paid = await step('pay', async ({ key }) => {
      await life.outside.effect('payment', key)
      return `${input} is paid`
    })
    await sleep(3_600_000)
    return await step('ship', async ({ key }) => {
      await life.outside.effect('parcel', key)
      return `${paid} and shipped`
    })
  })
  const output = await flow.run('book')
  let tookMs = 0
  for await (const { createdAt, endedAt = 0 } of runtime.runs()) tookMs += endedAt - createdAt
  return { output, tookMs }
}
