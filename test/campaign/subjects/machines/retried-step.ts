import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { setup } from 'xstate'

/** A step that fails twice, with a wait after each; then it succeeds. */
export const subject: CrashSubject = async (life) => {
  const dial = fromStep(
    async ({ attempt, key }: StepArguments<undefined>) => {
      if (attempt < 3) throw new Error('engaged')
      await life.outside.effect('connected', key)
    },
    { retry: { maxAttempts: 9, delayMs: 3, maxDelayMs: 6 } },
  )
  const phone = setup({ actors: { dial } }).createMachine({
    id: 'phone',
    initial: 'dialling',
    states: {
      dialling: { invoke: { src: 'dial', onDone: 'connected', onError: 'failed' } },
      connected: { type: 'final' },
      failed: { type: 'final' },
    },
  })
  const runtime = await life.open({ machines: [phone] })
  const run = await runtime.start(phone, { id: 'phone' })
  await run.done()
  return (await run.snapshot()).value
}
