import type { ToolSchema } from '../../actors/model.ts'
import { invalid } from './api-error.ts'
import { isObject, parseArray, parseObject, parseString, parseWord, type WireObject } from './wire-value.ts'

/** The tools of a request. Chat Completions nests each in `function`, the Responses API does not. */
export function parseTools(value: unknown, api: 'chat' | 'responses'): ToolSchema[] {
  if (value === undefined || value === null) return []
  const isChat = api === 'chat'
  return parseArray(value, 'tools', isChat ? 1 : 0).map((each, index) => {
    const place = `tools[${index}]`
    const tool = parseObject(each, place)
    parseWord(tool.type, `${place}.type`, ['function'])
    return isChat ? parseTool(parseObject(tool.function, `${place}.function`), `${place}.function`) : parseTool(tool, place)
  })
}

function parseTool(tool: WireObject, place: string): ToolSchema {
  const name = parseString(tool.name, `${place}.name`)
  if (!/^[a-zA-Z0-9_-]{1,64}$/.test(name)) {
    const message = `Invalid '${place}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`
    throw invalid(message, `${place}.name`, 'invalid_value')
  }
  const parameters = tool.parameters ?? { type: 'object', properties: {} }
  if (!isObject(parameters) || parameters.type !== 'object') {
    const type = isObject(parameters) ? String(parameters.type ?? 'None') : 'None'
    const message = `Invalid schema for function '${name}': schema must be a JSON Schema of 'type: "object"', got 'type: "${type}"'.`
    throw invalid(message, `${place}.parameters`, 'invalid_function_parameters')
  }
  return { name, description: typeof tool.description === 'string' ? tool.description : '', parameters }
}
