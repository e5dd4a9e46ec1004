import type { ResponseCreateParamsStreaming, ResponseInputItem } from 'openai/resources/responses/responses'
import type { AssistantMessage, Message } from '../../machines/conversation.ts'
import type { ModelRequest } from '../model.ts'
import { toOutputFormat } from './output-format.ts'

/** Models before reasoning: they refuse to be asked for encrypted reasoning. */
const withoutReasoning = /^(ft:)?(gpt-3|gpt-4|chatgpt-4)/

/** What an answer should hold besides: reasoning that can be handed back, where the model knows it. */
export function toInclude(model: string): ['reasoning.encrypted_content'] | undefined {
  return withoutReasoning.test(model) ? undefined : ['reasoning.encrypted_content']
}

/**
 * The body of a Responses request, streaming. The whole conversation goes along, with the reasoning items of earlier answers as they came, encrypted by the
 * provider. Nothing is stored there, unless the answer is to be made in the background: then it is, for minutes, so that it can be fetched.
 */
export function toResponsesBody(request: ModelRequest, isBackground = false): ResponseCreateParamsStreaming {
  const { settings, systemPrompt, tools } = request
  const include = toInclude(request.model)
  const format = toOutputFormat(request.output)
  return {
    model: request.model,
    input: request.messages.flatMap(toInputItems),
    stream: true,
    ...(isBackground ? { background: true, store: true } : { store: false }),
    ...(systemPrompt === '' ? {} : { instructions: systemPrompt }),
    ...(include === undefined ? {} : { include }),
    ...(format === undefined ? {} : { text: { format: { type: 'json_schema', ...format } } }),
    ...(settings.temperature === undefined ? {} : { temperature: settings.temperature }),
    ...(settings.topP === undefined ? {} : { top_p: settings.topP }),
    ...(settings.maxOutputTokens === undefined ? {} : { max_output_tokens: settings.maxOutputTokens }),
    ...(settings.reasoningEffort === undefined ? {} : { reasoning: { effort: settings.reasoningEffort } }),
    ...(tools.length === 0
      ? {}
      : {
          // Left out, `strict` is true here, and refuses most JSON Schemas.
          tools: tools.map(({ name, description, parameters }) => ({
            type: 'function',
            name,
            description,
            parameters,
            strict: false,
          })),
          ...(settings.parallelToolCalls === undefined ? {} : { parallel_tool_calls: settings.parallelToolCalls }),
        }),
  }
}

function toInputItems(message: Message): ResponseInputItem[] {
  switch (message.role) {
    case 'user':
      return [{ role: 'user', content: message.content }]
    case 'tool':
      return [{ type: 'function_call_output', call_id: message.callId, output: message.content }]
    case 'assistant':
      return message.items === undefined ? toRebuiltItems(message) : toReturnedItems(message.items)
  }
}

function toRebuiltItems(message: AssistantMessage): ResponseInputItem[] {
  const text: ResponseInputItem[] = message.content === '' ? [] : [{ role: 'assistant', content: message.content }]
  const calls = message.toolCalls.map(
    (call): ResponseInputItem => ({
      type: 'function_call',
      call_id: call.id,
      name: call.name,
      arguments: call.arguments === '' ? '{}' : call.arguments,
    }),
  )
  return [...text, ...calls]
}

/**
 * The items as the provider gave them, except what it would refuse: fields that are null (input has them or not), and a
 * reasoning item without its content, which it would look for in a store that it was told not to keep. Where one is left
 * out, the others give up the ids that tie them to it.
 */
function toReturnedItems(items: readonly unknown[]): ResponseInputItem[] {
  const records = items.filter((item): item is Record<string, unknown> => typeof item === 'object' && item !== null)
  const kept = records.filter((item) => item.type !== 'reasoning' || hasContent(item))
  const isTied = kept.length === records.length
  return kept.map((item) => {
    const fields = Object.entries(item).filter(([key, value]) => value !== null && (isTied || key !== 'id'))
    // The provider's own data: output items are input items by the API's contract.
    return Object.fromEntries(fields) as unknown as ResponseInputItem
  })
}

function hasContent(item: Readonly<Record<string, unknown>>): boolean {
  if (typeof item.encrypted_content === 'string' && item.encrypted_content !== '') return true
  return Array.isArray(item.content) && item.content.length > 0
}
