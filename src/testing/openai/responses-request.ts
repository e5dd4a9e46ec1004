import type { ModelRequest } from '../../actors/model.ts'
import type { Message, ToolCall } from '../../machines/conversation.ts'
import { ApiError, invalid } from './api-error.ts'
import { parseContent } from './content.ts'
import { parseOutputFormat } from './output-format.ts'
import { parseSettings } from './request-settings.ts'
import { parseTools } from './tool-schemas.ts'
import { isObject, parseArray, parseObject, parseString, parseWord, type WireObject } from './wire-value.ts'

const types = ['message', 'function_call', 'function_call_output', 'reasoning', 'item_reference'] as const
const roles = ['assistant', 'system', 'developer', 'user'] as const
const inputParts = ['input_text', 'input_image', 'input_file']
const outputParts = ['output_text', 'refusal']

/**
 * What a Responses request asks, as a model is asked in-process. Refuses what OpenAI refuses, in its words.
 *
 * Items of one answer become one assistant message: its text, its calls. Reasoning is not in there. Nothing is stored, so
 * `previous_response_id`, `conversation` and references to items are answered like those of a stranger: not found.
 */
export function parseResponsesRequest(body: WireObject): ModelRequest {
  const model = parseString(body.model, 'model')
  refuseStored(body)
  const items = typeof body.input === 'string' ? [{ role: 'user', content: body.input }] : parseArray(body.input, 'input', 1)
  const { systemPrompts, messages } = parseItems(items)
  const instructions = typeof body.instructions === 'string' ? [body.instructions] : []
  const settings = parseSettings(body, {
    maxOutputTokens: ['max_output_tokens'],
    reasoningEffort: isObject(body.reasoning) ? body.reasoning.effort : undefined,
  })
  const systemPrompt = [...instructions, ...systemPrompts].join('\n\n')
  return {
    model,
    systemPrompt,
    settings,
    tools: parseTools(body.tools, 'responses'),
    messages,
    ...parseOutputFormat(isObject(body.text) ? body.text.format : undefined, 'text.format'),
  }
}

function refuseStored({ previous_response_id: previous, conversation }: WireObject): void {
  if (typeof previous === 'string') {
    throw invalid(`Previous response with id '${previous}' not found.`, 'previous_response_id', 'previous_response_not_found')
  }
  if (conversation !== undefined && conversation !== null) {
    const id = isObject(conversation) ? conversation.id : conversation
    throw new ApiError(404, `Conversation with id '${id}' not found.`)
  }
}

function parseItems(values: readonly unknown[]): { systemPrompts: string[]; messages: Message[] } {
  const systemPrompts: string[] = []
  const messages: Message[] = []
  const calls = new Map<string, { readonly call: ToolCall; isAnswered: boolean }>()
  const ids = new Set<string>()
  const say = (content: string, toolCalls: readonly ToolCall[]): void => {
    const last = messages.at(-1)
    if (last?.role !== 'assistant') messages.push({ role: 'assistant', content, toolCalls })
    else
      messages[messages.length - 1] = { ...last, content: last.content + content, toolCalls: [...last.toolCalls, ...toolCalls] }
  }
  for (const [index, value] of values.entries()) {
    const place = `input[${index}]`
    const item = parseObject(value, place)
    const type = item.type === undefined && item.role !== undefined ? 'message' : parseWord(item.type, `${place}.type`, types)
    checkId(item, ids)
    if (type === 'message') {
      const role = parseWord(item.role, `${place}.role`, roles)
      const content = parseContent(item.content, `${place}.content`, role === 'assistant' ? outputParts : inputParts)
      if (role === 'user') messages.push({ role, content })
      else if (role === 'assistant') say(content, [])
      else systemPrompts.push(content)
    } else if (type === 'function_call') {
      const call = parseCall(item, place)
      if (calls.has(call.id)) throw invalid(`Duplicate 'call_id': ${call.id}`, 'input')
      calls.set(call.id, { call, isAnswered: false })
      say('', [call])
    } else if (type === 'function_call_output') {
      const callId = parseString(item.call_id, `${place}.call_id`)
      const asked = calls.get(callId)
      if (asked === undefined) throw invalid(`No tool call found for function call output with call_id ${callId}.`, 'input')
      if (asked.isAnswered) throw invalid(`Duplicate function call output with call_id ${callId}.`, 'input')
      asked.isAnswered = true
      const content = parseContent(item.output, `${place}.output`, inputParts)
      messages.push({ role: 'tool', callId, name: asked.call.name, content, isError: false })
    } else if (type === 'reasoning') {
      checkFollowed(item, values[index + 1])
    } else {
      throw new ApiError(404, `Item with id '${item.id}' not found.`, { param: 'input' })
    }
  }
  for (const { call, isAnswered } of calls.values()) {
    if (!isAnswered) throw invalid(`No tool output found for function call ${call.id}.`, 'input')
  }
  return { systemPrompts, messages }
}

function parseCall(item: WireObject, place: string): ToolCall {
  return {
    id: parseString(item.call_id, `${place}.call_id`),
    name: parseString(item.name, `${place}.name`),
    arguments: parseString(item.arguments, `${place}.arguments`),
  }
}

function checkId({ id }: WireObject, ids: Set<string>): void {
  if (typeof id !== 'string') return
  if (ids.has(id))
    throw invalid(`Duplicate item found with id ${id}. Remove duplicate items from your input and try again.`, 'input')
  ids.add(id)
}

/** What followed is told by its own id: a message that was written anew, without one, is another message. */
function checkFollowed({ id }: WireObject, next: unknown): void {
  if (isObject(next) && (next.type === 'function_call' || next.type === 'reasoning')) return
  if (isObject(next) && next.role === 'assistant' && typeof next.id === 'string') return
  throw invalid(`Item '${id}' of type 'reasoning' was provided without its required following item.`, 'input')
}
