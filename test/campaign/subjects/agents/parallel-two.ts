import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, noteTool } from '../../scene.ts'

const letters = ['a', 'b', 'c', 'd', 'e']

/** Five calls of one answer, two at a time. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model(inRounds(letters.map((letter) => call('note', letter))))
  const agent = runtime.durable(
    buildAgent(
      { name: 'clerk', systemPrompt: 'You take notes.', model: 'm', allowedTools: ['note'], maxParallel: 2 },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  return (await agent.run('Note five letters.')).output
}
