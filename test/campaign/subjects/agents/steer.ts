import { buildAgent } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { call, inRounds, noteTool } from '../../scene.ts'

/** While a tool call runs, the user adds something; it joins before the next request. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const steered = Promise.withResolvers<void>()
  const note = noteTool(outside)
  const slow = {
    ...note,
    async execute(...args: Parameters<typeof note.execute>) {
      started.resolve()
      await steered.promise
      return note.execute(...args)
    },
  }
  const started = Promise.withResolvers<void>()
  const model = outside.model((request) => {
    const users = request.messages.flatMap(({ role, content }) => (role === 'user' ? [content] : []))
    return users.length === 2 ? users.join(' ') : inRounds([call('note', 'a')])(request)
  })
  const agent = buildAgent({ name: 'driver', systemPrompt: '', model: 'm', allowedTools: ['note'] }, { model, tools: [slow] })
  const runtime = await life.open({ machines: [agent.machine] })
  const run = await runtime.start(agent.machine, { id: 'drive' })
  await outside.once('prompt', () => run.send({ type: 'prompt', text: 'Drive.' }, { id: 'prompt' }))
  const settled = run.waitFor(({ context }) => context.messages.at(-1)?.content === 'Drive. Left!')
  await Promise.race([started.promise, settled])
  await outside.once('steer', () => run.send({ type: 'steer', text: 'Left!' }, { id: 'steer' }))
  steered.resolve()
  await settled
  await outside.once('stop', () => run.send({ type: 'stop' }, { id: 'stop' }))
  return (await run.done()).output
}
