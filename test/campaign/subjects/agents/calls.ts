import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, noteTool } from '../../scene.ts'

/** Each call is a checkpoint: three rounds, the second of two calls. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model(inRounds([call('note', 'a')], [call('note', 'b'), call('note', 'c')], [call('note', 'd')]))
  const agent = runtime.durable(
    buildAgent(
      { name: 'clerk', systemPrompt: 'You take notes.', model: 'm', allowedTools: ['note'] },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  return (await agent.run('Note a, b, c and d.')).output
}
