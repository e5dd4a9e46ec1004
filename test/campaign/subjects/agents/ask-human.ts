import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { lastPrompt, noteTool, toResults } from '../../scene.ts'

/** The model asks a person twice, and does what that one says. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) => {
    const [what, whom, done] = toResults(request)
    if (what === undefined) return { toolCalls: [{ name: 'askHuman', arguments: { question: `${lastPrompt(request)} What?` } }] }
    if (whom === undefined) return { toolCalls: [{ name: 'askHuman', arguments: { question: 'For whom?' } }] }
    if (done === undefined) return { toolCalls: [{ name: 'note', arguments: { text: `${what} for ${whom}` } }] }
    return done
  })
  const agent = runtime.durable(
    buildAgent(
      { name: 'waiter', systemPrompt: 'You serve.', model: 'm', allowedTools: ['askHuman', 'note'] },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  return withPerson(
    life,
    runtime,
    ({ text }) => (text.includes('What?') ? 'tea' : 'Ada'),
    async () => (await agent.run('Order something.')).output,
  )
}
