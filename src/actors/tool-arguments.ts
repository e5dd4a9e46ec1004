import type { z } from 'zod'
import { toIssueLines, toIssues } from './issues.ts'
import { toThrownText } from './tool-result.ts'

/** Arguments that fit, or what to tell the model about them. */
export type ParsedArguments<Input> =
  | { readonly ok: true; readonly input: Input }
  | { readonly ok: false; readonly message: string }

/**
 * Reads the arguments that a model wrote for a tool. Empty text means `{}`. Never throws: what does not fit is a message for the
 * model. A key `__proto__` is refused, at any depth: copied into an object it would change its prototype.
 */
export async function parseArguments<Schema extends z.ZodType>(
  name: string,
  schema: Schema,
  text: string,
): Promise<ParsedArguments<z.output<Schema>>> {
  const refuse = (reason: string) => ({ ok: false, message: `The arguments of \`${name}\` ${reason}` }) as const
  let value: unknown
  try {
    value = text.trim() === '' ? {} : parseJson(text)
  } catch (error) {
    return refuse(`are not usable JSON: ${toThrownText(error)}. Call it again with one JSON object.`)
  }
  try {
    const result = await schema.safeParseAsync(value)
    if (result.success) return { ok: true, input: result.data }
    const lines = toIssueLines(toIssues(result.error, value)).map((line) => `- ${line}`)
    return refuse(`do not fit:\n${lines.join('\n')}`)
  } catch (error) {
    return refuse(`could not be checked: ${toThrownText(error)}`)
  }
}

/** The same at once: `misfit` when they do not fit, `unknown` when the schema cannot tell without waiting. */
export function readArguments<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
): { readonly input: z.output<Schema> } | 'misfit' | 'unknown' {
  let value: unknown
  try {
    value = text.trim() === '' ? {} : parseJson(text)
  } catch {
    return 'misfit'
  }
  try {
    const result = schema.safeParse(value)
    return result.success ? { input: result.data } : 'misfit'
  } catch {
    return 'unknown'
  }
}

/** JSON as a model wrote it. Throws when it is none, or has a key `__proto__`. */
export function parseJson(text: string): unknown {
  return JSON.parse(text, (key, value: unknown) => {
    if (key === '__proto__') throw new SyntaxError('the key `__proto__` is not allowed')
    return value
  })
}
