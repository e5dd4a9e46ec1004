import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { setup } from 'xstate'

/** A step fails and nobody handles it: the run ends in that error, once and for all. */
export const subject: CrashSubject = async (life) => {
  const fall = fromStep(async ({ key }: StepArguments<undefined>): Promise<void> => {
    await life.outside.effect('fell', key)
    throw new RangeError('too high')
  })
  const climber = setup({ types: { events: {} as { type: 'climb' } }, actors: { fall } }).createMachine({
    id: 'climber',
    initial: 'below',
    states: { below: { on: { climb: 'above' } }, above: { invoke: { src: 'fall' } } },
  })
  const runtime = await life.open({ machines: [climber] })
  const run = await runtime.start(climber, { id: 'climber' })
  await life.outside.once('climb', () => run.send({ type: 'climb' }, { id: 'climb' }))
  return run.done().then(
    () => 'survived',
    (error: unknown) => (error instanceof Error ? error.message : 'unknown'),
  )
}
