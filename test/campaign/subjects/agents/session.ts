import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, lastPrompt, noteTool, toResults } from '../../scene.ts'

/** A chat: messages with ids, each once, two of them sent at the same time. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) => {
    const [result] = toResults(request)
    return result ?? { toolCalls: [call('note', `${lastPrompt(request)} of ${request.messages.length}`)] }
  })
  const agent = runtime.durable(
    buildAgent(
      { name: 'friend', systemPrompt: 'You chat.', model: 'm', allowedTools: ['note'] },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  const session = agent.session('ada')
  const say = async (text: string) => (await session.run(text, { id: text })).output
  const first = await say('hello')
  const both = await Promise.all([say('one'), say('two')])
  return [first, ...both, await say('hello')]
}
