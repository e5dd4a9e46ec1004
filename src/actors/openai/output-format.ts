import type { ModelRequest } from '../model.ts'

/** A JSON Schema for an answer, as both APIs take it. */
export interface OutputFormat {
  readonly name: string
  readonly schema: Record<string, unknown>
  readonly strict: boolean
}

/**
 * How the form of an answer is asked for. `strict` wherever the provider would take the schema so: then the answer is sure to fit; else the schema is a
 * request. `undefined` for a schema that is not of an object, which the provider refuses: such an answer is only checked afterwards.
 */
export function toOutputFormat(output: ModelRequest['output']): OutputFormat | undefined {
  if (output?.schema.type !== 'object') return undefined
  const name = output.name.replace(/[^a-zA-Z0-9_-]/g, '_').slice(0, 64)
  return { name: name === '' ? 'output' : name, schema: { ...output.schema }, strict: isStrict(output.schema, 1) }
}

/** What strict mode knows; a schema with anything else is refused there. */
const keywords: ReadonlySet<string> = new Set([
  ...['$schema', '$defs', '$ref', 'title', 'description', 'type', 'enum', 'const', 'anyOf'],
  ...['properties', 'required', 'additionalProperties', 'items', 'minItems', 'maxItems', 'pattern', 'format'],
  ...['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'],
])
const formats: readonly unknown[] = [
  ...[undefined, 'date-time', 'time', 'date', 'duration', 'email', 'hostname', 'ipv4', 'ipv6', 'uuid'],
]
const maxDepth = 10

function isStrict(schema: unknown, depth: number): boolean {
  if (!isRecord(schema) || depth > maxDepth) return false
  if (!Object.keys(schema).every((key) => keywords.has(key)) || !formats.includes(schema.format)) return false
  const { properties = {}, required = [], items, anyOf = [], $defs = {} } = schema
  if (!isRecord(properties) || !isRecord($defs) || !Array.isArray(required) || !Array.isArray(anyOf)) return false
  if (schema.type === undefined && schema.$ref === undefined && anyOf.length === 0) return false
  if (schema.type === 'array' && items === undefined) return false
  if (schema.type === 'object' || schema.properties !== undefined) {
    // Every property must be there, and no other.
    if (schema.additionalProperties !== false) return false
    if (!Object.keys(properties).every((name) => required.includes(name))) return false
  }
  const inner = [...Object.values(properties), ...Object.values($defs), ...anyOf, ...(items === undefined ? [] : [items])]
  return inner.every((each) => isStrict(each, depth + 1))
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
