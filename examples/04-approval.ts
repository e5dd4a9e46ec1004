/**
 * A tool call that a person has to approve: the first process asks and ends, another one answers, and the run goes on.
 *
 *   node --conditions=perdure/source examples/04-approval.ts   # both, one after the other
 *
 * PERDURE_DIR: the store.
 */
import { buildAgent, openRuntime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'

const pay = tool({
  name: 'pay',
  description: 'Pays an invoice.',
  input: z.object({ invoice: z.string(), amount: z.number() }),
  run: ({ invoice, amount }, { key }) => `paid ${amount} for ${invoice}, once (${key})`,
  approval: ({ amount }) => amount > 100,
})

// In place of a real model: it asks for one payment, then says what came of it.
const model = scriptedModel(({ messages }) => {
  const last = messages.at(-1)
  if (last?.role === 'tool') return `Done: ${last.content}`
  return { toolCalls: [{ name: 'pay', arguments: { invoice: 'invoice-17', amount: 250 } }] }
})
const clerk = buildAgent(
  { name: 'clerk', systemPrompt: 'You pay what is due.', model: 'scripted', allowedTools: ['pay'] },
  { model, tools: [pay] },
)
const directory = process.env.PERDURE_DIR || '.perdure'

async function ask(): Promise<void> {
  await using runtime = await openRuntime({ directory, machines: [clerk.machine] })
  const run = await runtime.start(clerk.machine, { id: 'payments', input: { prompt: 'Pay invoice 17.' } })
  await run.waitFor((state) => Object.keys(state.children).some((id) => id.startsWith('approval.')))
}

async function answer(): Promise<void> {
  await using runtime = await openRuntime({ directory, machines: [clerk.machine] })
  for await (const { runId, id, text, call } of runtime.pending()) {
    console.log(`${text} ${call?.arguments}`)
    await runtime.get(runId).answer(id, { approved: true, arguments: { invoice: 'invoice-17', amount: 99 } })
  }
  const { output } = await runtime.get<typeof clerk.machine>('payments').done()
  console.log(output)
}

await ask() // the process may end here, for a week
await answer()
