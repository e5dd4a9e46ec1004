import { isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'

/** Nobody answers in time: the flow gives up and goes another way. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('invitation', async (_: undefined, { step, waitFor }) => {
    for (let reminder = 1; reminder <= 3; reminder++) {
      await step('remind', ({ key }) => life.outside.effect(`reminder ${reminder}`, key))
      try {
        return await waitFor('accepted', { timeoutMs: 5 })
      } catch (error) {
        if (!isPerdureError(error, 'WAIT_TIMEOUT')) throw error
      }
    }
    return step('give up', () => 'nobody came')
  })
  return flow.run(undefined, { id: 'invitation' })
}
