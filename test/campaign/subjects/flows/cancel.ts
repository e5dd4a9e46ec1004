import { isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'

/** A flow that waits is cancelled from outside, and stays so. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const waits = Promise.withResolvers<void>()
  const flow = runtime.flow('watch', async (_: undefined, { step, waitFor }) => {
    await step('begin', ({ key }) => outside.effect('began', key))
    waits.resolve()
    await waitFor('never')
    return step('end', ({ key }) => outside.effect('ended', key))
  })
  const result = flow.run(undefined, { id: 'watch' }).catch((error: unknown) => {
    if (!isPerdureError(error, 'RUN_CANCELLED')) throw error
    return error.code
  })
  await Promise.race([waits.promise, result])
  await outside.once('cancel', async () => {
    try {
      await runtime.get('watch').cancel('enough')
    } catch (error) {
      // It was cancelled by an earlier life, which did not live to hear so.
      if (!isPerdureError(error, 'RUN_ENDED')) throw error
    }
  })
  return result
}
