import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { lastPrompt } from '../../scene.ts'

/** All turns of a flow share a limit; a person extends it in the middle. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) => {
    const prompt = lastPrompt(request)
    return { text: prompt.toUpperCase(), usage: { inputTokens: 10, outputTokens: prompt === 'b' ? 100_000 : 10 } }
  })
  const agent = runtime.durable(buildAgent({ name: 'typist', systemPrompt: '', model: 'm', onLimit: 'ask' }, { model }))
  const flow = runtime.flow('letters', async (letters: readonly string[]) => {
    const outputs: string[] = []
    for (const letter of letters) outputs.push((await agent.run(letter)).output)
    return outputs
  })
  return withPerson(
    life,
    runtime,
    () => ({ extend: { tokens: 1_000_000 } }),
    () => flow.run(['a', 'b', 'c', 'd'], { id: 'letters', limits: { tokens: 50_000 } }),
  )
}
