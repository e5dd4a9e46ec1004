import { isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'

const hour = 3_600_000

/** Hours pass: sleeps, a date, and an event that does not come in time. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const flow = runtime.flow('parking', async (hours: number, { sleep, sleepUntil, step, waitFor }) => {
    for (let count = 1; count <= hours; count++) {
      await step('charge', ({ key }) => outside.effect(`charged hour ${count}`, key))
      await sleep(hour)
    }
    const outcome = await waitFor('extended', { timeoutMs: hour / 4 }).catch((error: unknown) => {
      if (!isPerdureError(error, 'WAIT_TIMEOUT')) throw error
      return undefined
    })
    await sleepUntil(new Date(Date.UTC(2030, 0, 1, 6)))
    return step('end', async ({ key }) => {
      await outside.effect('towed', key)
      return outcome === undefined ? 'not extended' : 'extended'
    })
  })
  return flow.run(3, { id: 'parking' })
}
