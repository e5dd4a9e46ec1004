import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, line } from '../../scene.ts'

/** A tool fails twice and is executed again after a while each time; the model sees the third outcome only. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const phone = tool({
    name: 'phone',
    description: 'Calls somebody.',
    input: line,
    effect: 'idempotent',
    retry: { maxAttempts: 9, delayMs: 4, maxDelayMs: 8 },
    async run({ text }, { key, attempt }) {
      if (attempt < 3) throw new Error('engaged')
      await life.outside.effect(`call ${text}`, key)
      return `${text} says hello`
    },
  })
  const model = life.outside.model(inRounds([call('phone', 'Ada')], [call('phone', 'Bob')]))
  const agent = runtime.durable(
    buildAgent({ name: 'caller', systemPrompt: '', model: 'm', allowedTools: ['phone'] }, { model, tools: [phone] }),
  )
  return (await agent.run('Call Ada and Bob.')).output
}
