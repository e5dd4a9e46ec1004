import type { CrashSubject } from 'perdure/testing'

/** Steps that fail at first and are executed again after a while; one that never succeeds. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const retry = { maxAttempts: 9, delayMs: 3, maxDelayMs: 5 }
  const flow = runtime.flow('upload', async (_: undefined, { step }) => {
    const first = await step(
      'upload',
      async ({ key, attempt }) => {
        if (attempt < 3) throw new Error('reset')
        await outside.effect('uploaded', key)
        return 'uploaded'
      },
      { retry },
    )
    return step('link', () => `${first}, linked`)
  })
  return flow.run(undefined, { id: 'upload' })
}
