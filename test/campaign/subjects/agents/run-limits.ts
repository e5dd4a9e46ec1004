import { buildAgent, isPerdureError } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { lastPrompt } from '../../scene.ts'

/** A conversation has tokens for two turns: a person grants some for the third, and says no at the fourth. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) => {
    const prompt = lastPrompt(request)
    return { text: `${prompt}!`, usage: { inputTokens: 10, outputTokens: prompt === 'a' ? 10 : 100_000 } }
  })
  const agent = runtime.durable(
    buildAgent({ name: 'payer', systemPrompt: '', model: 'm', runLimits: { tokens: 50_000 }, onLimit: 'ask' }, { model }),
  )
  const flow = runtime.flow('purse', async (prompts: readonly string[]) => {
    const outputs: string[] = []
    for (const prompt of prompts)
      try {
        outputs.push((await agent.run(prompt)).output)
      } catch (error) {
        if (!isPerdureError(error, 'LIMIT_REACHED')) throw error
        outputs.push(error.code)
      }
    return outputs
  })
  return withPerson(
    life,
    runtime,
    ({ id }) => (id.includes('000003') ? { extend: { tokens: 100_000 } } : { stop: true }),
    () => flow.run(['a', 'b', 'c', 'd'], { id: 'purse' }),
  )
}
