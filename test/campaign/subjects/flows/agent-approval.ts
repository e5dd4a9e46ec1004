import { buildAgent, tool } from 'perdure'
import type { CrashSubject } from 'perdure/testing'
import { withPerson } from '../../person.ts'
import { call, inRounds, line } from '../../scene.ts'

/** Branches of a flow whose agents wait for approvals at the same time, and a third that sleeps. */
export const subject: CrashSubject = async (life) => {
  const runtime = await life.open()
  const deploy = tool({
    name: 'deploy',
    description: 'Deploys.',
    input: line,
    effect: 'idempotent',
    approval: true,
    async run({ text }, { key }) {
      await life.outside.effect(`deployed ${text}`, key)
      return `deployed ${text}`
    },
  })
  const build = (name: string) =>
    runtime.durable(
      buildAgent(
        { name, systemPrompt: '', model: 'm', allowedTools: ['deploy'] },
        { model: life.outside.model(inRounds([call('deploy', name)])), tools: [deploy] },
      ),
    )
  const [east, west] = [build('east'), build('west')]
  const flow = runtime.flow('rollout', async (_: undefined, { all, sleep, step }) => {
    const [first, second] = await all([
      async () => (await east.run('Deploy.')).output,
      async () => (await west.run('Deploy.')).output,
      () => sleep(5),
    ])
    return step('report', () => `${first}, ${second}`)
  })
  return withPerson(
    life,
    runtime,
    () => true,
    () => flow.run(undefined, { id: 'rollout' }),
  )
}
