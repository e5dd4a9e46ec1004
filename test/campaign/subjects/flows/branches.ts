import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, lastPrompt, noteTool } from '../../scene.ts'

/** Branches within branches, each with steps and turns of its own. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const agent = runtime.durable(
    buildAgent(
      { name: 'scout', systemPrompt: '', model: 'm', allowedTools: ['note'] },
      { model: outside.model((request) => inRounds([call('note', lastPrompt(request))])(request)), tools: [noteTool(outside)] },
    ),
  )
  const flow = runtime.flow('survey', async (_: undefined, { all, step }) => {
    const visit = (place: string) =>
      step('visit', async ({ key }) => {
        await outside.effect(`visit ${place}`, key)
        return place
      })
    const [north, south, both] = await all([
      async () => [await visit('north'), (await agent.run('north')).output],
      async () => [(await agent.run('south')).output, await visit('south')],
      () => all([() => visit('east'), () => visit('west')]),
    ])
    return step('map', () => [...north, ...south, ...both].join(' '))
  })
  return flow.run(undefined, { id: 'survey' })
}
