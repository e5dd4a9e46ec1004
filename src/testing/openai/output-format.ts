import type { ModelRequest } from '../../actors/model.ts'
import { invalid } from './api-error.ts'
import { isObject, parseObject, parseString, type WireObject } from './wire-value.ts'

/**
 * The form that an answer should have: `json_schema` of `response_format` in Chat Completions, of `text.format` in the Responses API. Refuses a strict
 * schema that strict mode does not take.
 */
export function parseOutputFormat(value: unknown, place: string): Pick<ModelRequest, 'output'> {
  if (!isObject(value) || value.type !== 'json_schema') return {}
  const isNested = isObject(value.json_schema)
  const format = isNested ? parseObject(value.json_schema, `${place}.json_schema`) : value
  const name = parseString(format.name, `${place}.name`)
  if (!/^[a-zA-Z0-9_-]{1,64}$/.test(name)) {
    const message = `Invalid '${place}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.`
    throw invalid(message, `${place}.name`, 'invalid_value')
  }
  const schema = parseObject(format.schema, `${place}.schema`)
  const refuse = (problem: string, context: string): Error =>
    invalid(
      `Invalid schema for response_format '${name}': In context=(${context}), ${problem}`,
      `${place}.schema`,
      'invalid_json_schema',
    )
  if (schema.type !== 'object')
    throw refuse(`schema must be a JSON Schema of 'type: "object"', got 'type: "${schema.type ?? 'None'}"'.`, '')
  if (format.strict === true) checkStrict(schema, '', refuse)
  return { output: { name, schema } }
}

function checkStrict(schema: WireObject, context: string, refuse: (problem: string, context: string) => Error): void {
  if (isObject(schema.properties)) {
    const { required } = schema
    if (schema.additionalProperties !== false)
      throw refuse("'additionalProperties' is required to be supplied and to be false.", context)
    for (const [key, property] of Object.entries(schema.properties)) {
      if (!Array.isArray(required) || !required.includes(key)) {
        throw refuse(
          `'required' is required to be supplied and to be an array including every key in properties. Missing '${key}'.`,
          context,
        )
      }
      if (isObject(property)) checkStrict(property, [context, `'properties', '${key}'`].filter(Boolean).join(', '), refuse)
    }
  }
  if (isObject(schema.items)) checkStrict(schema.items, [context, "'items'"].filter(Boolean).join(', '), refuse)
}
