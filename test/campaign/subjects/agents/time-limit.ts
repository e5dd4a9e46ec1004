import { buildAgent, isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, noteTool, toResults } from '../../scene.ts'

/** Nobody answers the model's question within an hour: the turn comes to its limit of time, also when it was not in memory all the while. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) =>
    toResults(request).length === 0
      ? { toolCalls: [call('note', 'asked')] }
      : { toolCalls: [{ name: 'askHuman', arguments: { question: 'Is anybody there?' } }] },
  )
  const profile = {
    name: 'lonely',
    systemPrompt: '',
    model: 'm',
    allowedTools: ['askHuman', 'note'],
    limits: { wallTimeMs: 3_600_000 },
  }
  const agent = runtime.durable(buildAgent(profile, { model, tools: [noteTool(life.outside)] }))
  const flow = runtime.flow('call', async (_: undefined, { step }) => {
    try {
      return (await agent.run('Ask.')).output
    } catch (error) {
      if (!isPerdureError(error, 'LIMIT_REACHED')) throw error
      return step('give up', () => error.code)
    }
  })
  return flow.run(undefined, { id: 'call' })
}
