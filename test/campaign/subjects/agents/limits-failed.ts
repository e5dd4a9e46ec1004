import { buildAgent, isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, noteTool } from '../../scene.ts'

/** A model that never comes to an end is stopped by `maxSteps`, and the flow catches it. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model(({ messages }) => ({ toolCalls: [call('note', `${messages.length}`)] }))
  const agent = runtime.durable(
    buildAgent(
      { name: 'endless', systemPrompt: '', model: 'm', allowedTools: ['note'], maxSteps: 3 },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  const flow = runtime.flow('bounded', async (_: undefined, { step }) => {
    try {
      return (await agent.run('Go on for ever.')).output
    } catch (error) {
      if (!isPerdureError(error, 'MAX_STEPS')) throw error
      return step('give up', () => `stopped: ${error.code}`)
    }
  })
  return flow.run(undefined, { id: 'bounded' })
}
