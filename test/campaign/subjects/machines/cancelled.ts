import { fromStep, isPerdureError, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { setup } from 'xstate'

/** A run whose step never ends is cancelled from outside, and stays so. */
export const subject: CrashSubject = async (life) => {
  const wait = fromStep(
    ({ signal }: StepArguments<undefined>) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      }),
    { effect: false },
  )
  const patient = setup({ actors: { wait } }).createMachine({
    id: 'patient',
    initial: 'waiting',
    states: { waiting: { invoke: { src: 'wait', onDone: 'over' } }, over: { type: 'final' } },
  })
  const runtime = await life.open({ machines: [patient] })
  const run = await runtime.start(patient, { id: 'patient' })
  await life.outside.once('cancel', async () => {
    try {
      await run.cancel('enough')
    } catch (error) {
      if (!isPerdureError(error, 'RUN_ENDED')) throw error // by an earlier life, which did not live to hear so
    }
  })
  return run.done().catch((error: unknown) => (isPerdureError(error) ? error.code : 'unknown'))
}
