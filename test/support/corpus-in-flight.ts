/** Agents and flows whose runs in `test/corpus` wait, or were cut off. Runs that are there go on with this code: it may be added to, not changed. */
import { type Agent, buildAgent, type Runtime, tool } from 'perdure'
import { scriptedModel } from 'perdure/testing'
import { z } from 'zod'
import type { CorpusCode } from './corpus-machines.ts'

const line = z.object({ line: z.string() })

/** Calls the tool that the prompt names, once, and says what came of it. */
function createModel(said: string[]) {
  return scriptedModel(({ messages }) => {
    const last = messages.at(-1)
    said.push(`model ${messages.length}`)
    if (last?.role === 'tool') return `Told: ${last.content}`
    return { toolCalls: [{ name: last?.content ?? '', arguments: { line: 'x' } }], usage: { inputTokens: 60, outputTokens: 40 } }
  })
}

/** `pay` is approved by a person, `post` is reported when in doubt, `ask` asks a person then, `note` is executed again, `call` fails twice, `find` recovers. */
export function createInFlightAgents({ hang, said }: CorpusCode) {
  const settle = async (what: string): Promise<string> => {
    said.push(what)
    if (hang) await new Promise(() => {})
    return what
  }
  const common = { description: 'Writes a line', input: line }
  const tools = [
    tool({ ...common, name: 'pay', approval: true, run: ({ line: text }) => settle(`paid ${text}`) }),
    tool({ ...common, name: 'post', run: () => settle('posted') }),
    tool({ ...common, name: 'ask', onDoubt: 'ask', run: () => settle('asked') }),
    tool({ ...common, name: 'note', effect: 'idempotent', run: (_, { attempt }) => settle(`noted ${attempt}`) }),
    tool({
      ...common,
      name: 'find',
      recover: ({ key }) => ({ status: 'settled', value: `found ${key}` }),
      run: () => settle('lost'),
    }),
    tool({
      ...common,
      name: 'call',
      effect: 'idempotent',
      retry: { maxAttempts: 3, delayMs: 3_600_000, maxDelayMs: 3_600_000 },
      run(_, { attempt }) {
        said.push(`called ${attempt}`)
        if (attempt < 3) throw new Error('engaged')
        return `connected at attempt ${attempt}`
      },
    }),
  ]
  const greet = tool({ ...common, name: 'greet', effect: 'none', run: () => 'greeted' })
  const options = { model: createModel(said), tools }
  const profile = { systemPrompt: '', model: 'corpus-model' }
  const allowedTools = tools.map(({ name }) => name)
  const clerk = buildAgent({ ...profile, name: 'clerk', allowedTools }, options)
  const miser = buildAgent(
    { ...profile, name: 'miser', allowedTools: ['greet'], limits: { steps: 1 }, onLimit: 'ask' },
    { ...options, tools: [greet] },
  )
  const asked = clerk.asTool({ name: 'clerk', description: 'Asks the clerk' })
  const boss = buildAgent(
    { ...profile, name: 'boss', allowedTools: ['clerk'] },
    {
      tools: [asked],
      model: scriptedModel(({ messages }) => {
        const last = messages.at(-1)
        said.push(`boss ${messages.length}`)
        return last?.role === 'tool'
          ? `Clerk: ${last.content}`
          : { toolCalls: [{ name: 'clerk', arguments: { prompt: 'note' } }] }
      }),
    },
  )
  return { clerk, miser, boss }
}

/** A flow that waits in four ways at once. */
export function createWaitingFlow(runtime: Runtime, agent: Agent, { said }: CorpusCode) {
  const clerk = runtime.durable(agent)
  return runtime.flow('waiting', async (_: undefined, { all, ask, sleep, step, waitFor }) => {
    const one = async (name: string): Promise<string> => {
      said.push(name)
      return name
    }
    const go = z.object({ type: z.literal('go'), n: z.number() })
    return await all([
      async () => [await step('first', () => one('first')), await ask('Go on?', z.object({ yes: z.boolean() }))],
      async () => [await waitFor('go', { schema: go }), (await waitFor('go', { schema: go })).n],
      async () => [await sleep(10 * 86_400_000), await step('slept', () => one('slept'))],
      async () => (await clerk.run('note')).output,
    ])
  })
}
