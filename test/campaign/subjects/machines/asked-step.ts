import { fromStep, type StepArguments } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { setup } from 'xstate'
import { withPerson } from '../../person.ts'

/** A step that was cut off waits for a person, who says to execute it again. */
export const subject: CrashSubject = async (life) => {
  const launch = fromStep(({ key }: StepArguments<undefined>) => life.outside.effect('launched', key), { onDoubt: 'ask' })
  const rocket = setup({ actors: { launch } }).createMachine({
    id: 'rocket',
    initial: 'launching',
    states: { launching: { invoke: { src: 'launch', onDone: 'flying' } }, flying: { type: 'final' } },
  })
  const runtime = await life.open({ machines: [rocket] })
  return withPerson(
    life,
    runtime,
    () => ({ retry: true }),
    async () => {
      const run = await runtime.start(rocket, { id: 'rocket' })
      await run.done()
      return (await run.snapshot()).value
    },
  )
}
