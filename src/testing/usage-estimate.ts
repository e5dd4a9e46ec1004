import type { ModelRequest } from '../actors/model.ts'
import type { Message, ToolCall, Usage } from '../machines/conversation.ts'

/** A token for every four characters: not what a tokenizer says, but the same in every process and on every API. */
export function estimateUsage(request: ModelRequest, text: string, toolCalls: readonly ToolCall[]): Usage {
  const asked = [
    request.systemPrompt,
    ...request.tools.flatMap((tool) => [tool.name, tool.description, JSON.stringify(tool.parameters)]),
    ...request.messages.flatMap(textsOf),
  ]
  return {
    inputTokens: toTokens(asked),
    outputTokens: toTokens([text, ...toolCalls.flatMap(textsOfCall)]),
    cachedInputTokens: 0,
    reasoningTokens: 0,
  }
}

function toTokens(texts: readonly string[]): number {
  const characters = texts.reduce((sum, text) => sum + text.length, 0)
  return Math.max(1, Math.ceil(characters / 4))
}

function textsOf(message: Message): string[] {
  return message.role === 'assistant' ? [message.content, ...message.toolCalls.flatMap(textsOfCall)] : [message.content]
}

function textsOfCall(call: ToolCall): string[] {
  return [call.name, call.arguments]
}
