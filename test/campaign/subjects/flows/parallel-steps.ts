import type { CrashSubject } from 'perdure/testing'

/** Steps beside each other with names of their own, in an ordinary `Promise.all`. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('mail', async (names: readonly string[], { step }) => {
    const sent = await Promise.all(
      names.map((name) =>
        step(`send to ${name}`, async ({ key }) => {
          await life.outside.effect(`mail to ${name}`, key)
          return name
        }),
      ),
    )
    return step('count', () => sent.length)
  })
  return flow.run(['ada', 'bob', 'cy', 'dee', 'eve', 'fay'], { id: 'mail' })
}
