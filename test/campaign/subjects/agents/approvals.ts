import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { call, inRounds, line } from '../../scene.ts'

/** Of three payments one is approved, one denied, one changed. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const pay = tool({
    name: 'pay',
    description: 'Pays.',
    input: line,
    effect: 'idempotent',
    approval: true,
    async run({ text }, { key }) {
      await life.outside.effect(`paid ${text}`, key)
      return `paid ${text}`
    },
  })
  const model = life.outside.model(inRounds([call('pay', 'rent'), call('pay', 'yacht'), call('pay', 'wine')]))
  const agent = runtime.durable(
    buildAgent({ name: 'clerk', systemPrompt: 'You pay.', model: 'm', allowedTools: ['pay'] }, { model, tools: [pay] }),
  )
  return withPerson(
    life,
    runtime,
    ({ call: asked }) => {
      if (asked?.arguments.includes('rent')) return true
      if (asked?.arguments.includes('yacht')) return { approved: false, reason: 'Not this year.' }
      return { approved: true, arguments: { text: 'water' } }
    },
    async () => (await agent.run('Pay rent, yacht and wine.')).output,
  )
}
