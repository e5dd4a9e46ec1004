import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, line } from '../../scene.ts'

/** A turn is a checkpoint: one that was cut off begins anew. So its tool has no effect, and its model may be paid twice. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const look = tool({
    name: 'look',
    description: 'Looks something up.',
    input: line,
    effect: 'none',
    run: ({ text }) => `seen ${text}`,
  })
  const model = life.outside.model(inRounds([call('look', 'a')], [call('look', 'b')]))
  const profile = { name: 'reader', systemPrompt: 'You look.', model: 'm', allowedTools: ['look'] }
  const agent = runtime.durable(buildAgent(profile, { model, tools: [look] }), { checkpoint: 'turn' })
  const first = await agent.run('Look at a and b.')
  const second = await agent.run('Once more.')
  return [first.output, second.output]
}
