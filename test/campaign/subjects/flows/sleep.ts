import type { CrashSubject } from 'perdure/testing'

/** Sleeps between steps, also in branches; each keeps its deadline. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('reminders', async (_: undefined, { all, sleep, sleepUntil, step }) => {
    const remind = (what: string) =>
      step(`remind ${what}`, async ({ key }) => {
        await life.outside.effect(what, key)
        return what
      })
    const first = await remind('first')
    await sleep(6)
    const both = await all([
      async () => {
        await sleep(9)
        return remind('slow')
      },
      async () => {
        await sleep(3)
        return remind('quick')
      },
    ])
    await sleepUntil(0)
    return [first, ...both]
  })
  return flow.run(undefined, { id: 'reminders' })
}
