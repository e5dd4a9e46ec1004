import type { ModelRequest } from '../../actors/model.ts'
import type { Message, ToolCall } from '../../machines/conversation.ts'
import { invalid } from './api-error.ts'
import { parseContent } from './content.ts'
import { parseOutputFormat } from './output-format.ts'
import { parseSettings } from './request-settings.ts'
import { parseTools } from './tool-schemas.ts'
import { isObject, parseArray, parseObject, parseString, parseWord, type WireObject } from './wire-value.ts'

const roles = ['system', 'assistant', 'user', 'function', 'tool', 'developer'] as const
const userParts = ['text', 'image_url', 'input_audio', 'file']

/** The calls of the latest assistant message, and where each was answered. */
interface OpenCalls {
  readonly names: ReadonlyMap<string, string>
  readonly answeredAt: Map<string, number>
}

/**
 * What a Chat Completions request asks, as a model is asked in-process. Refuses what OpenAI refuses, in its words.
 *
 * A tool message gets its name from the call it answers; whether the tool failed is not on the wire.
 */
export function parseChatRequest(body: WireObject): ModelRequest {
  if (body.model === undefined) throw invalid('you must provide a model parameter')
  const model = parseString(body.model, 'model')
  const { systemPrompt, messages } = parseMessages(parseArray(body.messages, 'messages', 1))
  const tools = parseTools(body.tools, 'chat')
  if (tools.length === 0) {
    for (const param of ['tool_choice', 'parallel_tool_calls']) {
      if (body[param] === undefined || body[param] === null) continue
      throw invalid(`Invalid value for '${param}': '${param}' is only allowed when 'tools' are specified.`, param)
    }
  }
  if (isObject(body.stream_options) && body.stream !== true) {
    throw invalid("The 'stream_options' parameter is only allowed when 'stream' is enabled.", 'stream_options')
  }
  const settings = parseSettings(body, {
    maxOutputTokens: ['max_completion_tokens', 'max_tokens'],
    reasoningEffort: body.reasoning_effort,
  })
  return { model, systemPrompt, settings, tools, messages, ...parseOutputFormat(body.response_format, 'response_format') }
}

function parseMessages(values: readonly unknown[]): { systemPrompt: string; messages: Message[] } {
  const system: string[] = []
  const messages: Message[] = []
  let open: OpenCalls | undefined
  for (const [index, value] of values.entries()) {
    const message = parseObject(value, `messages[${index}]`)
    const role = parseWord(message.role, `messages[${index}].role`, roles)
    const content = `messages.[${index}].content`
    if (role === 'tool' || role === 'function') {
      messages.push(parseAnswer(message, index, open))
      continue
    }
    checkAnswered(open, `messages.[${index}].role`)
    open = undefined
    if (role === 'assistant') {
      const toolCalls = parseCalls(message.tool_calls, `messages[${index}].tool_calls`)
      if (toolCalls.length > 0) open = { names: new Map(toolCalls.map((call) => [call.id, call.name])), answeredAt: new Map() }
      const isSilent = toolCalls.length > 0 && (message.content ?? null) === null
      const said = isSilent ? '' : parseContent(message.content ?? message.refusal ?? null, content, ['text', 'refusal'])
      messages.push({ role: 'assistant', content: said, toolCalls })
    } else if (role === 'user') {
      messages.push({ role: 'user', content: parseContent(message.content, content, userParts) })
    } else {
      system.push(parseContent(message.content, content, ['text']))
    }
  }
  checkAnswered(open, 'messages')
  return { systemPrompt: system.join('\n\n'), messages }
}

function parseCalls(value: unknown, place: string): ToolCall[] {
  if (value === undefined || value === null) return []
  const calls = parseArray(value, place, 1).map((each, index) => {
    const call = parseObject(each, `${place}[${index}]`)
    const called = parseObject(call.function, `${place}[${index}].function`)
    return {
      id: parseString(call.id, `${place}[${index}].id`),
      name: parseString(called.name, `${place}[${index}].function.name`),
      arguments: parseString(called.arguments, `${place}[${index}].function.arguments`),
    }
  })
  const ids = calls.map((call) => call.id)
  if (new Set(ids).size === ids.length) return calls
  throw invalid(`Duplicate call_ids submitted: [${ids.map((id) => `'${id}'`).join(', ')}]`, place)
}

function parseAnswer(message: WireObject, index: number, open: OpenCalls | undefined): Message {
  if (open === undefined) {
    // OpenAI writes "preceeding".
    const text = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
    throw invalid(text, `messages.[${index}].role`)
  }
  const callId = parseString(message.tool_call_id, `messages[${index}].tool_call_id`)
  const name = open.names.get(callId)
  const param = `messages.[${index}].tool_call_id`
  if (name === undefined) {
    throw invalid(`Invalid parameter: 'tool_call_id' of '${callId}' not found in 'tool_calls' of previous message.`, param)
  }
  const earlier = open.answeredAt.get(callId)
  if (earlier !== undefined) {
    const places = `in messages[${earlier}] and messages[${index}]`
    throw invalid(`Invalid parameter: Duplicate value for 'tool_call_id' of '${callId}', ${places}.`, param)
  }
  open.answeredAt.set(callId, index)
  return {
    role: 'tool',
    callId,
    name,
    content: parseContent(message.content, `messages.[${index}].content`, ['text']),
    isError: false,
  }
}

function checkAnswered(open: OpenCalls | undefined, param: string): void {
  const missing = open === undefined ? [] : [...open.names.keys()].filter((id) => !open.answeredAt.has(id))
  if (missing.length === 0) return
  const rule = "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
  throw invalid(`${rule} The following tool_call_ids did not have response messages: ${missing.join(', ')}`, param)
}
