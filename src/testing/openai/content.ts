import { invalid } from './api-error.ts'
import { parseObject, parseString, parseWord, toTypeName } from './wire-value.ts'

/** Texts of a content part, by its type; any other kind of part is shown by its name. */
const textFields: Readonly<Record<string, string>> = {
  text: 'text',
  input_text: 'text',
  output_text: 'text',
  refusal: 'refusal',
}

/** The content of a message as text. A part that is no text, like an image, becomes its type in brackets. */
export function parseContent(value: unknown, param: string, parts: readonly string[]): string {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) {
    throw invalid(`Invalid value for 'content': expected a string, got ${toTypeName(value)}.`, param)
  }
  return value.map((part, index) => parsePart(part, `${param}[${index}]`, parts)).join('')
}

function parsePart(value: unknown, param: string, parts: readonly string[]): string {
  const part = parseObject(value, param)
  const type = parseWord(part.type, `${param}.type`, parts)
  const field = textFields[type]
  return field === undefined ? `[${type}]` : parseString(part[field], `${param}.${field}`)
}
