import type { CrashSubject } from 'perdure/testing'
import { createMachine } from 'xstate'

/** Two versions stand side by side: a run ends on the one that it began with, new ones begin with the last. */
export const subject: CrashSubject = async (life) => {
  const build = (version: string) =>
    createMachine({
      id: 'contract',
      version,
      initial: 'open',
      states: { open: { on: { sign: 'signed' } }, signed: { type: 'final' } },
      output: `signed in version ${version}`,
    })
  const [old, young] = [build('1'), build('2')]
  const first = await life.open({ machines: [young, old] })
  const one = await first.start(old, { id: 'one' })
  await life.outside.once('one', () => one.send({ type: 'sign' }, { id: 'one' }))
  const two = await first.start(young, { id: 'two' })
  await life.outside.once('two', () => two.send({ type: 'sign' }, { id: 'two' }))
  return [await one.done(), await two.done()]
}
