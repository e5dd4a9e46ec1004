import { type Agent, buildAgent, type Message, type Model, tool } from 'perdure'
import { z } from 'zod'
import { stubText } from './turn-text.ts'

export { promptOf } from './turn-text.ts'

/** The turn that every figure is about: model, tool, model, with stubs that resolve at once. Each of the two answers and the tool's result is 1 KB of text. */
const usage = { inputTokens: 1_000, outputTokens: 250, cachedInputTokens: 0, reasoningTokens: 0 }

/** How often the stubs were asked: what a resume repeats shows here. */
export const asked = { models: 0, tools: 0 }

/** What the model was asked last: the conversation but for its last answer. */
export const heard: { messages: readonly Message[] } = { messages: [] }

export const stubModel: Model = async ({ messages }) => {
  asked.models++
  heard.messages = messages
  const isFirst = messages.at(-1)?.role !== 'tool'
  const toolCalls = isFirst ? [{ id: `call_${messages.length}`, name: 'look', arguments: '{"at":1}' }] : []
  return {
    message: { role: 'assistant', content: stubText(), toolCalls },
    usage,
    costUsd: 0.001,
    model: 'stub',
    responseId: undefined,
  }
}

const look = tool({
  name: 'look',
  description: 'Looks.',
  input: z.object({ at: z.number() }),
  run() {
    asked.tools++
    return stubText()
  },
})

/** The agent of all figures. The model can be exchanged, for the moment at which a process is killed. */
export const buildBenchAgent = (model: Model = stubModel): Agent =>
  buildAgent({ name: 'bench', systemPrompt: 'You look.', model: 'stub', allowedTools: ['look'] }, { model, tools: [look] })

/** The transcript as it would be kept as a file: the conversation as JSON. */
export const transcriptBytes = (messages: readonly Message[]): number => Buffer.byteLength(JSON.stringify(messages))
