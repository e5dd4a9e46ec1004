import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { call, inRounds, noteTool } from '../../scene.ts'

/**
 * The second answer uses up all tokens of the turn; a person grants more. What a crash makes the model be asked again counts too: it is little, so that the
 * limit is reached at the same place in every history.
 */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const play = inRounds([call('note', 'a')], [call('note', 'b')], [call('note', 'c')])
  const model = life.outside.model((request) => {
    const next = play(request)
    const outputTokens = request.messages.length === 3 ? 100_000 : 10
    return { ...(typeof next === 'string' ? { text: next } : next), usage: { inputTokens: 10, outputTokens } }
  })
  const agent = runtime.durable(
    buildAgent(
      { name: 'miser', systemPrompt: '', model: 'm', allowedTools: ['note'], limits: { tokens: 50_000 }, onLimit: 'ask' },
      { model, tools: [noteTool(life.outside)] },
    ),
  )
  return withPerson(
    life,
    runtime,
    () => ({ extend: { tokens: 1_000_000 } }),
    async () => (await agent.run('Note a, b and c.')).output,
  )
}
