/** The agent and the flows of the runs in `test/corpus`. Runs that are there go on with this code: it may be added to, not changed. */
import { type Agent, buildAgent, type Runtime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import { type CorpusCode, corpusTime, DAY } from './corpus-machines.ts'

/** Answers `<prompt>!`; asked for `notes` it has two taken first, of which one hangs while the corpus is written. */
export function createCorpusAgent({ hang, said }: CorpusCode): Agent {
  const note = tool({
    name: 'note',
    description: 'Writes a note down',
    effect: 'idempotent',
    input: z.object({ text: z.string() }),
    async run({ text }) {
      said.push(`note ${text}`)
      if (hang && text === 'b') await new Promise(() => {})
      return `noted ${text}`
    },
  })
  const model = scriptedModel(({ messages }) => {
    const since = messages.slice(messages.findLastIndex(({ role }) => role === 'user'))
    said.push(`model ${messages.length}`)
    if (since[0]?.content !== 'notes') return `${since[0]?.content}!`
    if (since.length === 1) return { toolCalls: ['a', 'b'].map((text) => ({ name: 'note', arguments: { text } })) }
    return since
      .slice(2)
      .map(({ content }) => content)
      .join(', ')
  })
  const profile = { name: 'corpus', systemPrompt: 'Be brief.', model: 'corpus-model', allowedTools: ['note'] }
  return buildAgent(profile, { model, tools: [note] })
}

/** A flow of steps and turns, and one that sleeps. */
export function createCorpusFlows(runtime: Runtime, agent: Agent, { said }: CorpusCode) {
  const durable = runtime.durable(agent)
  const report = runtime.flow('report', async ({ topic }: { readonly topic: string }, { step }) => {
    const begun = await step('begin', () => {
      said.push('begin')
      return { at: new Date(corpusTime), big: 7n }
    })
    const hello = await durable.run(topic)
    const notes = await durable.run('notes')
    const end = await step('end', () => {
      said.push('end')
      return begun.big + 1n
    })
    return [begun.at.getTime(), hello.output, notes.output, end]
  })
  const nap = runtime.flow('nap', async (_: undefined, { step, sleep }) => {
    const before = await step('before', () => {
      said.push('before')
      return 'before'
    })
    await sleep(30 * DAY)
    return [before, await step('after', () => 'after')]
  })
  return { report, nap, session: durable.session('chat'), letters: durable.session('letters') }
}
