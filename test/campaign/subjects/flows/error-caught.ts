import type { CrashSubject } from 'perdure/testing'

/** A step fails, the flow catches it and takes back what it had done: a saga. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const flow = runtime.flow('trip', async (_: undefined, { step }) => {
    const undo: string[] = []
    try {
      for (const what of ['flight', 'hotel', 'car']) {
        await step(`book ${what}`, async ({ key }) => {
          if (what === 'car') throw new RangeError('no car is left')
          await outside.effect(`booked ${what}`, key)
        })
        undo.push(what)
      }
      return 'booked'
    } catch (error) {
      for (const what of undo.reverse()) await step(`cancel ${what}`, ({ key }) => outside.effect(`cancelled ${what}`, key))
      return error instanceof RangeError ? error.message : String(error)
    }
  })
  return flow.run(undefined, { id: 'trip' })
}
