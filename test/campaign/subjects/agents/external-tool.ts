import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, line } from '../../scene.ts'

/** A tool whose effect has no key: one that was cut off is reported to the model as in doubt, never executed twice. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const post = tool({
    name: 'post',
    description: 'Posts a letter.',
    input: line,
    async run({ text }) {
      await life.outside.effect(`letter ${text}`)
      return `posted ${text}`
    },
  })
  const model = life.outside.model(inRounds([call('post', 'a'), call('post', 'b')], [call('post', 'c')]))
  const agent = runtime.durable(
    buildAgent({ name: 'postman', systemPrompt: '', model: 'm', allowedTools: ['post'] }, { model, tools: [post] }),
  )
  return (await agent.run('Post a, b and c.')).output
}

/** The results of the calls one after the other: each what the tool says, or that nobody knows. */
export const accepts = (output: unknown): boolean =>
  /^(posted a|The process was ended while [^,]+, .+?), (posted b|The process was ended while .+?), (posted c|The process was ended while .+)$/s.test(
    String(output),
  )
