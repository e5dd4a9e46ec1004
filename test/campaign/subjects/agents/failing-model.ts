import { buildAgent, isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'

/** A provider that refuses the first turn: it fails, the flow catches it, and the next turn is answered. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model(({ messages }) =>
    messages.at(-1)?.content === 'Say something rude.' ? { fault: { status: 400 } } : 'Good day.',
  )
  const agent = runtime.durable(buildAgent({ name: 'polite', systemPrompt: '', model: 'm' }, { model }))
  const other = runtime.durable(buildAgent({ name: 'other', systemPrompt: '', model: 'm' }, { model }))
  const flow = runtime.flow('talk', async () => {
    try {
      return (await agent.run('Say something rude.')).output
    } catch (error) {
      if (!isPerdureError(error, 'MODEL_BAD_REQUEST')) throw error
      return (await other.run('Say something kind.')).output
    }
  })
  return flow.run(undefined, { id: 'talk' })
}
