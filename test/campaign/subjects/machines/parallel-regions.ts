import type { CrashSubject } from 'perdure/testing'
import { createMachine } from 'xstate'

/** Regions beside each other, which end one by one. */
export const subject: CrashSubject = async (life) => {
  const region = (event: string) => ({
    initial: 'open',
    states: { open: { on: { [event]: 'half' } }, half: { on: { [event]: 'done' } }, done: { type: 'final' as const } },
  })
  const form = createMachine({
    id: 'form',
    initial: 'editing',
    states: {
      editing: { type: 'parallel', states: { name: region('NAME'), mail: region('MAIL'), age: region('BOTH') }, onDone: 'sent' },
      sent: { type: 'final' },
    },
  })
  const runtime = await life.open({ machines: [form] })
  const run = await runtime.start(form, { id: 'form' })
  const values: unknown[] = []
  for (const [index, type] of ['NAME', 'MAIL', 'BOTH', 'NAME', 'BOTH', 'MAIL'].entries()) {
    await life.outside.once(`${index}`, () => run.send({ type }, { id: `event-${index}` }))
    values.push((await run.snapshot()).status)
  }
  await run.done()
  return values.length
}
