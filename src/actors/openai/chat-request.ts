import type { ChatCompletionCreateParamsStreaming, ChatCompletionMessageParam } from 'openai/resources/chat/completions'
import type { Message } from '../../machines/conversation.ts'
import type { ModelRequest } from '../model.ts'
import { toOutputFormat } from './output-format.ts'

/** How this server names the limit on output tokens. */
export type MaxTokensField = 'max_completion_tokens' | 'max_tokens'

/** The body of a Chat Completions request, streaming, with usage. What the request leaves out is left out. */
export function toChatBody(request: ModelRequest, maxTokensField: MaxTokensField): ChatCompletionCreateParamsStreaming {
  const { settings, systemPrompt, tools } = request
  const format = toOutputFormat(request.output)
  const system: ChatCompletionMessageParam[] = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }]
  return {
    model: request.model,
    messages: [...system, ...request.messages.map(toChatMessage)],
    stream: true,
    stream_options: { include_usage: true },
    ...(settings.temperature === undefined ? {} : { temperature: settings.temperature }),
    ...(settings.topP === undefined ? {} : { top_p: settings.topP }),
    ...(settings.maxOutputTokens === undefined ? {} : { [maxTokensField]: settings.maxOutputTokens }),
    ...(settings.reasoningEffort === undefined ? {} : { reasoning_effort: settings.reasoningEffort }),
    ...(format === undefined ? {} : { response_format: { type: 'json_schema', json_schema: format } }),
    // An empty list, and parallel_tool_calls without tools, are refused by the API.
    ...(tools.length === 0
      ? {}
      : {
          tools: tools.map(({ name, description, parameters }) => ({
            type: 'function',
            function: { name, description, parameters },
          })),
          ...(settings.parallelToolCalls === undefined ? {} : { parallel_tool_calls: settings.parallelToolCalls }),
        }),
  }
}

function toChatMessage(message: Message): ChatCompletionMessageParam {
  switch (message.role) {
    case 'user':
      return { role: 'user', content: message.content }
    case 'tool':
      return { role: 'tool', tool_call_id: message.callId, content: message.content }
    case 'assistant': {
      const calls = message.toolCalls
      if (calls.length === 0) return { role: 'assistant', content: message.content }
      return {
        role: 'assistant',
        content: message.content === '' ? null : message.content,
        tool_calls: calls.map((call) => ({
          id: call.id,
          type: 'function',
          // Some servers parse it: a call without arguments must still be an object.
          function: { name: call.name, arguments: call.arguments === '' ? '{}' : call.arguments },
        })),
      }
    }
  }
}
