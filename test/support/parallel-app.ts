/**
 * A program for tests: one turn, in which the server of argv[3] asks for five calls at once. With argv[4] = `hang` two of them never
 * end, and once the other three are on the disk it says `durable`. Else all end, and it says the answer. Each execution of a call
 * appends a line to the file argv[5].
 */
import { appendFileSync, writeSync } from 'node:fs'
import { buildAgent, openRuntime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'

const [, , directory = '', baseUrl = '', mode, effects = ''] = process.argv
let settled = 0

const work = tool({
  name: 'work',
  description: 'Works',
  effect: 'idempotent',
  input: z.object({ part: z.number() }),
  run({ part }) {
    appendFileSync(effects, `${part}\n`)
    return mode === 'hang' && part > 3 ? new Promise(() => {}) : `part ${part} is done`
  },
})

await using runtime = await openRuntime({
  directory,
  log: 'silent',
  onEvent: ({ type, ...event }) => {
    if (type !== 'call.settled' || !('kind' in event) || event.kind !== 'tool') return
    settled++
    if (settled === 3) void sayDurable()
  },
})
const agent = buildAgent(
  { name: 'worker', systemPrompt: '', model: 'gpt-5-mini', allowedTools: ['work'] },
  { baseUrl, tools: [work] },
)

/** Batches reach the disk in order: when a later turn is there, what came before it is. */
async function sayDurable(): Promise<void> {
  const other = buildAgent({ name: 'other', systemPrompt: '', model: 'scripted' }, { model: scriptedModel(['pong']) })
  await runtime.durable(other).session('other').run('ping')
  if (mode === 'hang') writeSync(1, 'durable\n')
}

const { output } = await runtime.durable(agent).run('Do all five parts.')
writeSync(1, `${output}\n`)
