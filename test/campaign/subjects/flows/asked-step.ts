import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'

/** A step that was cut off waits for a person, who says to execute it again: the outside takes its key once. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const flow = runtime.flow('surgery', async (_: undefined, { step }) => {
    const parts: string[] = []
    for (const part of ['left', 'right'])
      parts.push(
        await step(
          part,
          async ({ key }) => {
            await life.outside.effect(`${part} done`, key)
            return part
          },
          { onDoubt: 'ask' },
        ),
      )
    return parts
  })
  return withPerson(
    life,
    runtime,
    () => ({ retry: true }),
    () => flow.run(undefined, { id: 'surgery' }),
  )
}
