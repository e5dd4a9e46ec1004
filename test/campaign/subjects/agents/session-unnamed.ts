import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'

/** A script that is run again from its beginning: prompts without ids are matched by their order. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model(({ messages }) =>
    messages.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).join(' '),
  )
  const agent = runtime.durable(buildAgent({ name: 'echo', systemPrompt: '', model: 'm' }, { model }))
  const outputs: string[] = []
  for (const prompt of ['a', 'b', 'a', 'c']) outputs.push((await agent.run(prompt)).output)
  return outputs
}
