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

/** A tool that is not there may have been there when the call began: then nobody knows what it came to. */
export const accepts = (output: unknown): boolean =>
  /^Tool `broken` failed: no a, The process was ended while tool `missing` ran, .+, Tool `broken` failed: no c, Tool `broken` failed: no d$/s.test(
    String(output),
  )
