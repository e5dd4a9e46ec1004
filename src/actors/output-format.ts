import { z } from 'zod'
import type { OutputFormat } from '../machines/agent.ts'
import { toArgumentError } from './value-text.ts'

/** How often an answer that does not fit is sent back to the model, where the profile does not say. */
export const DEFAULT_MAX_REPAIRS = 2

/** What the model's service is told the form is called. */
const FORMAT_NAME = 'answer'

const jsonSchemas = new WeakMap<z.ZodType, OutputFormat['schema']>()

/**
 * The JSON Schema of what a model has to write: the same object for the same schema. What JSON Schema cannot express (refinements, transforms) is
 * not in it; it is checked all the same.
 *
 * Errors: `TypeError` when it is no zod schema, or has a part that JSON has not (a date, a bigint) without a transform that makes it.
 */
export function toOutputSchema(output: z.ZodType): OutputFormat['schema'] {
  if (!(output instanceof z.ZodType)) throw toArgumentError('output', 'a zod schema', output)
  const known = jsonSchemas.get(output)
  if (known !== undefined) return known
  let made: OutputFormat['schema']
  try {
    // The round trip drops zod's own functions from the result: what remains is plain, storable data.
    made = JSON.parse(JSON.stringify(z.toJSONSchema(output, { io: 'input' })))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`Expected \`output\` to be a zod schema that JSON Schema can express: ${reason}`, { cause })
  }
  const { $schema: _, ...schema } = made
  jsonSchemas.set(output, schema)
  return schema
}

/** What the agent machine is told of the form. */
export const toOutputFormat = (output: z.ZodType, maxRepairs: number): OutputFormat => ({
  name: FORMAT_NAME,
  schema: toOutputSchema(output),
  maxRepairs,
})
