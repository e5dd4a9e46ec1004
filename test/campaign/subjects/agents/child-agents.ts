import { buildAgent, type Model, type Tool } from 'perdure'
import type { CrashSubject, Outside } from 'perdure/testing'
import { call, inRounds, noteTool, toResults } from '../../scene.ts'

const asks =
  (name: string, ...prompts: readonly string[]): Parameters<Outside['model']>[0] =>
  (request) => {
    const results = toResults(request)
    return results.length === 0
      ? { toolCalls: prompts.map((prompt) => ({ name, arguments: { prompt } })) }
      : results.join(' and ')
  }
const build = (name: string, model: Model, tool: Tool) =>
  buildAgent({ name, systemPrompt: '', model: 'm', allowedTools: [tool.name] }, { model, tools: [tool] })

/** An agent that asks two agents at once, each of which asks another, which takes notes: three levels. */
export const subject: CrashSubject = async (life) => {
  const { outside } = life
  const runtime = await life.open()
  const writer = build('writer', outside.model(inRounds([call('note', 'a'), call('note', 'b')])), noteTool(outside))
  const editor = build('editor', outside.model(asks('writer', 'Write.')), writer.asTool({ description: 'Writes.' }))
  const boss = build('boss', outside.model(asks('editor', 'One.', 'Two.')), editor.asTool({ description: 'Edits.' }))
  return (await runtime.durable(boss).run('Publish.')).output
}
