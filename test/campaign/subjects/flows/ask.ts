import type { CrashSubject } from 'perdure/testing'
import { z } from 'zod'
import { withPerson } from '../../person.ts'

/** Questions to a person, two of them at once. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('release', async (version: string, { all, ask, step }) => {
    const isWanted = await ask(`Release ${version}?`, z.boolean())
    if (!isWanted) return 'not released'
    const [name, date] = await all([
      () => ask('What is it called?', z.string()),
      () => ask('On which day?', z.object({ day: z.number().min(1).max(31) })),
    ])
    return step('release', async ({ key }) => {
      await life.outside.effect(`released ${version}`, key)
      return `${name} on ${date.day}`
    })
  })
  return withPerson(
    life,
    runtime,
    ({ text }) => (text.includes('called') ? 'Juniper' : text.includes('day') ? { day: 12 } : true),
    () => flow.run('2.0', { id: 'release' }),
  )
}
