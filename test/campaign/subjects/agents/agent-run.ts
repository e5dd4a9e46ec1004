import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, lastPrompt, noteTool, toResults } from '../../scene.ts'

/** The machine of an agent as a run of its own: prompts are events with ids. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const model = outside.model((request) => {
    const results = toResults(request)
    const prompt = lastPrompt(request)
    return results.length > 0 ? results.join(', ') : { toolCalls: [call('note', `${prompt} 1`), call('note', `${prompt} 2`)] }
  })
  const agent = buildAgent(
    { name: 'worker', systemPrompt: '', model: 'm', allowedTools: ['note'] },
    { model, tools: [noteTool(outside)] },
  )
  const runtime = await life.open({ machines: [agent.machine] })
  const run = await runtime.start(agent.machine, { id: 'worker' })
  for (const [index, text] of ['first', 'second'].entries()) {
    await outside.once(text, () => run.send({ type: 'prompt', text }, { id: text }))
    await run.waitFor((state) => state.context.turn > index && state.hasTag('settled'))
  }
  await outside.once('stop', () => run.send({ type: 'stop' }, { id: 'stop' }))
  await run.done()
  return (await run.snapshot()).context.messages.map(({ content }) => content)
}
