/**
 * The program of the specification: an agent of two turns that survives its process.
 *
 *   FORCE_FAILURE=1 node --conditions=perdure/source examples/01-durable-agent.ts   # turn 1, then it fails
 *   node --conditions=perdure/source examples/01-durable-agent.ts                   # turn 1 from the store, turn 2
 *   DISABLE_CACHE=1 node --conditions=perdure/source examples/01-durable-agent.ts   # everything again
 *
 * OPENAI_API_KEY or OPENAI_BASE_URL: the service to ask, else one of ours on loopback. OPENAI_MODEL: the model.
 * PERDURE_DIR: the store. CHECKPOINT: `turn` or `calls`.
 */
import { buildAgent, openRuntime, type Profile } from 'perdure'
import { openaiServer } from 'perdure/testing'
import { repositoryAnalyst } from './support/repository-analyst.ts'

const { OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL, PERDURE_DIR, CHECKPOINT, FORCE_FAILURE, DISABLE_CACHE } = process.env

const profile: Profile = {
  name: 'default',
  systemPrompt: 'You look at repositories with shell commands and report briefly what you found.',
  model: OPENAI_MODEL || 'gpt-5-mini',
  allowedTools: ['exec'],
}

async function main(): Promise<void> {
  const checkpoint = CHECKPOINT || 'turn'
  if (checkpoint !== 'turn' && checkpoint !== 'calls')
    throw new TypeError(`Expected CHECKPOINT to be turn or calls, got ${checkpoint}`)
  const offline = !OPENAI_API_KEY && !OPENAI_BASE_URL
  await using server = offline ? await openaiServer({ script: repositoryAnalyst, delayMs: 150, chunkDelayMs: 5 }) : undefined
  await using runtime = await openRuntime({ directory: PERDURE_DIR || '.perdure' })

  const agent = runtime.durable(buildAgent(profile, server ? { baseUrl: server.url } : {}), { checkpoint })

  const report = runtime.flow('repository-report', async (task: string) => {
    await agent.run(`${task} How many files of which kinds has it, how many lines, and what is it about?`)
    if (isOn(FORCE_FAILURE)) throw new Error('FORCE_FAILURE is set: a downstream service failed between the turns')
    const { output } = await agent.run('Write a short report from what you found. Do not look again.')
    return output
  })

  console.log(await report.run(`Look at the repository in ${process.cwd()}.`, { cache: !isOn(DISABLE_CACHE) }))
}

const isOn = (flag: string | undefined): boolean => flag !== undefined && flag !== '' && flag !== '0'

try {
  await main()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
