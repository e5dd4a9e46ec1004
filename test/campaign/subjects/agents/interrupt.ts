import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, lastPrompt, line } from '../../scene.ts'

/** A tool that never ends is interrupted by the user, and not executed again. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const waits = tool({
    name: 'wait',
    description: 'Waits for ever.',
    input: line,
    effect: 'none',
    run: (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      }),
  })
  const model = outside.model((request) => (lastPrompt(request) === 'Wait.' ? { toolCalls: [call('wait', 'a')] } : 'stopped'))
  const agent = buildAgent({ name: 'patient', systemPrompt: '', model: 'm', allowedTools: ['wait'] }, { model, tools: [waits] })
  const runtime = await life.open({ machines: [agent.machine] })
  const run = await runtime.start(agent.machine, { id: 'wait' })
  await outside.once('prompt', () => run.send({ type: 'prompt', text: 'Wait.' }, { id: 'prompt' }))
  await run.waitFor(({ value, context }) => value === 'acting' || context.messages.at(-1)?.content === 'stopped')
  await outside.once('interrupt', () => run.send({ type: 'interrupt', text: 'Stop.' }, { id: 'interrupt' }))
  await run.waitFor(({ context }) => context.messages.at(-1)?.content === 'stopped')
  await outside.once('stop', () => run.send({ type: 'stop' }, { id: 'stop' }))
  await run.done()
  const { context } = await run.snapshot()
  return context.messages.map(({ role, content }) => `${role}: ${content}`)
}
