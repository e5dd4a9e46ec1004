import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, line } from '../../scene.ts'

/** Calls that fail, that do not fit, and of a tool that there is not: the model is told each once. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const broken = tool({
    name: 'broken',
    description: 'Fails.',
    input: line,
    effect: 'none',
    run({ text }): string {
      throw new RangeError(`no ${text}`)
    },
  })
  const model = life.outside.model(
    inRounds([call('broken', 'a'), call('missing', 'b'), { name: 'broken', arguments: { text: 'c' } }], [call('broken', 'd')]),
  )
  const agent = runtime.durable(
    buildAgent({ name: 'unlucky', systemPrompt: '', model: 'm', allowedTools: ['broken'] }, { model, tools: [broken] }),
  )
  return (await agent.run('Try.')).output
}
