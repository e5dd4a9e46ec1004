import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { lastPrompt } from '../../scene.ts'

/** Many turns of one conversation: snapshots are chained, and begin anew. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const model = life.outside.model((request) => `${lastPrompt(request)}: ${'text of a paragraph '.repeat(30)}`)
  const agent = runtime.durable(buildAgent({ name: 'novelist', systemPrompt: 'Write at length.', model: 'm' }, { model }))
  const flow = runtime.flow('novel', async (chapters: number) => {
    let length = 0
    for (let chapter = 1; chapter <= chapters; chapter++) length += (await agent.run(`Chapter ${chapter}`)).output.length
    return length
  })
  return flow.run(8, { id: 'novel' })
}
