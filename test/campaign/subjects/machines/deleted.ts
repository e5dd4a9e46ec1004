import type { CrashSubject } from 'perdure/testing'
import { createMachine } from 'xstate'

/** A run that has ended is removed, with all its records; another goes on. */
export const subject: CrashSubject = async (life) => {
  const task = createMachine({
    id: 'task',
    initial: 'open',
    states: { open: { on: { end: 'ended' } }, ended: { type: 'final' } },
  })
  const runtime = await life.open({ machines: [task] })
  const stays = await runtime.start(task, { id: 'stays' })
  await life.outside.once('goes', async () => {
    const goes = await runtime.start(task, { id: 'goes' })
    await goes.send({ type: 'end' }, { id: 'end' })
    await goes.done()
    await runtime.delete('goes')
  })
  await life.outside.once('end', () => stays.send({ type: 'end' }, { id: 'end' }))
  await stays.done()
  const ids: string[] = []
  for await (const { id } of runtime.runs()) ids.push(id)
  return ids
}
