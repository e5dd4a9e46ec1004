/**
 * A program for tests: one turn of a session whose model, the server of argv[3], asks for one command. It says `running` when the command has begun, and the
 * answer at the end. With argv[4] = `cancel` it cancels the turn once the command runs.
 */
import { writeSync } from 'node:fs'
import { buildAgent, openRuntime } from 'perdure'

const [, , directory = '', baseUrl = '', mode] = process.argv

await using runtime = await openRuntime({
  directory,
  log: 'silent',
  onEvent(event) {
    if (event.type === 'call.progressed') {
      writeSync(1, 'running\n')
      if (mode === 'cancel') void runtime.get(event.runId).cancel()
    }
    if (event.type === 'call.settled' && event.kind === 'tool') writeSync(1, `settled ${event.resolution ?? ''}\n`)
  },
})
const agent = buildAgent({ name: 'worker', systemPrompt: '', model: 'gpt-5-mini', allowedTools: ['exec'] }, { baseUrl })
try {
  const { output } = await runtime.durable(agent).run('Build it.')
  writeSync(1, `answer ${output}\n`)
} catch (error) {
  writeSync(1, `failed ${error instanceof Error ? error.message : error}\n`)
}
