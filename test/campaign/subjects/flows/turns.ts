import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, lastPrompt, noteTool } from '../../scene.ts'

/** Two agents in one flow: what one writes the other reviews, twice. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const writer = runtime.durable(
    buildAgent(
      { name: 'writer', systemPrompt: 'You write.', model: 'm', allowedTools: ['note'] },
      { model: outside.model((request) => inRounds([call('note', lastPrompt(request))])(request)), tools: [noteTool(outside)] },
    ),
  )
  const critic = runtime.durable(
    buildAgent(
      { name: 'critic', systemPrompt: 'You review.', model: 'm' },
      { model: outside.model((request) => `more than "${lastPrompt(request)}"`) },
    ),
  )
  const flow = runtime.flow('article', async (subject: string, { step }) => {
    let text = subject
    for (let round = 0; round < 2; round++) {
      text = (await writer.run(text)).output
      text = (await critic.run(text)).output
    }
    return step('publish', async ({ key }) => {
      await outside.effect('publish', key)
      return text
    })
  })
  return flow.run('bees', { id: 'article' })
}
