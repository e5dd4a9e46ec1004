import { isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'

/** Steps that say what is done when they were cut off: one is asked for by its key, one is reported. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const flow = runtime.flow('payments', async (_: undefined, { step }) => {
    const first = await step(
      'charge',
      async ({ key }) => {
        await outside.effect('charged', key)
        return 'charged'
      },
      {
        async recover({ key }) {
          await outside.effect('charged', key) // the bank has it, or takes it now
          return { status: 'settled', value: 'charged' }
        },
      },
    )
    try {
      const second = await step('fax', () => outside.effect('faxed').then(() => 'faxed'), { onDoubt: 'report' })
      return `${first}, ${second}`
    } catch (error) {
      if (!isPerdureError(error, 'STEP_IN_DOUBT')) throw error
      return `${first}, perhaps faxed`
    }
  })
  return flow.run(undefined, { id: 'payments' })
}

export const accepts = (output: unknown): boolean => output === 'charged, perhaps faxed'
