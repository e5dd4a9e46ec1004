import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { call, inRounds, line } from '../../scene.ts'

/** A tool that was cut off waits for a person, who has it executed again: the outside takes a key once. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const order = tool({
    name: 'order',
    description: 'Orders something.',
    input: line,
    onDoubt: 'ask',
    async run({ text }, { key }) {
      await life.outside.effect(`order ${text}`, key)
      return `ordered ${text}`
    },
  })
  const model = life.outside.model(inRounds([call('order', 'tea'), call('order', 'rice')]))
  const agent = runtime.durable(
    buildAgent({ name: 'cook', systemPrompt: '', model: 'm', allowedTools: ['order'] }, { model, tools: [order] }),
  )
  return withPerson(
    life,
    runtime,
    () => ({ retry: true }),
    async () => (await agent.run('Order tea and rice.')).output,
  )
}
