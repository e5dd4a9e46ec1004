import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, line } from '../../scene.ts'

/** A tool that can be asked by its key what became of a call: it is settled from there, and not executed again. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const transfer = tool({
    name: 'transfer',
    description: 'Transfers money.',
    input: line,
    async run({ text }, { key }) {
      await life.outside.effect(`transfer ${text}`, key)
      return `transferred ${text}`
    },
    // Of the bank: it has the transfer of that key, or takes it now.
    async recover({ args: { text }, key }) {
      await life.outside.effect(`transfer ${text}`, key)
      return { status: 'settled', value: `transferred ${text}` }
    },
  })
  const model = life.outside.model(inRounds([call('transfer', '10')], [call('transfer', '20'), call('transfer', '30')]))
  const agent = runtime.durable(
    buildAgent({ name: 'banker', systemPrompt: '', model: 'm', allowedTools: ['transfer'] }, { model, tools: [transfer] }),
  )
  return (await agent.run('Transfer 10, 20 and 30.')).output
}
