import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, noteTool } from '../../scene.ts'

/** Four conversations in one process: their commits share batches. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) => inRounds([call('note', request.messages[0]?.content ?? '')])(request))
  const agent = runtime.durable(
    buildAgent(
      { name: 'clerk', systemPrompt: '', model: 'm', allowedTools: ['note'] },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  return Promise.all(['a', 'b', 'c', 'd'].map(async (id) => (await agent.session(id).run(id, { id })).output))
}
