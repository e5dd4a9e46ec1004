import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { z } from 'zod'

const weather = z.object({ city: z.string(), degrees: z.number() })

/** The first answer is no JSON, the second does not fit, the third does. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const answers = ['It is mild.', '{"city":"Rome"}', '{"city":"Rome","degrees":21}']
  const model = life.outside.model(({ messages }) => answers[messages.filter(({ role }) => role === 'assistant').length] ?? '')
  const agent = runtime.durable(
    buildAgent({ name: 'meteorologist', systemPrompt: '', model: 'm', output: weather, maxRepairs: 2 }, { model }),
  )
  const flow = runtime.flow('forecast', async (_: undefined, { step }) => {
    const { output } = await agent.run('How is the weather?')
    return step('round', () => output.degrees + 1)
  })
  return flow.run(undefined, { id: 'forecast' })
}
