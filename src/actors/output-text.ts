import type { z } from 'zod'
import { PerdureError, toMessage } from '../errors.ts'
import { toIssueLines, toIssues } from './issues.ts'
import { parseJson } from './tool-arguments.ts'

/** What an answer says, or what to tell the model about it. */
export type ParsedOutput<Output> = { readonly ok: true; readonly value: Output } | { readonly ok: false; readonly issues: string }

/** The whole text is a fence, whatever is in it. */
const WHOLE_FENCE = /^```[^\n]*\n([\s\S]*)```$/

/** A fence with words around it. */
const FENCE = /```[^\n]*\n([\s\S]*?)```/g

/**
 * Reads an answer that has to be JSON of a form. It may stand in a fence (`` ```json … ``` ``), also with words around it, if it is the only one. A key
 * `__proto__` is refused, at any depth: copied into an object it would change its prototype.
 *
 * Errors: `OUTPUT_INVALID` when the schema itself fails, such as a refinement that throws: the model cannot mend that.
 */
export async function parseOutput<Schema extends z.ZodType>(
  schema: Schema,
  text: string,
): Promise<ParsedOutput<z.output<Schema>>> {
  const read = readJson(text)
  if ('issue' in read) return { ok: false, issues: `- ${read.issue}` }
  let result: z.ZodSafeParseResult<z.output<Schema>>
  try {
    result = await schema.safeParseAsync(read.value)
  } catch (cause) {
    const message = `The answer could not be checked, because its schema failed: ${toMessage(cause)}. Mend the schema and run the turn again.`
    throw new PerdureError('OUTPUT_INVALID', message, { cause })
  }
  if (result.success) return { ok: true, value: result.data }
  const lines = toIssueLines(toIssues(result.error, read.value))
  return { ok: false, issues: lines.map((line) => `- ${line}`).join('\n') }
}

function readJson(text: string): { readonly value: unknown } | { readonly issue: string } {
  const trimmed = text.trim()
  if (trimmed === '') return { issue: 'It is empty. Expected one JSON value' }
  const fences = [...trimmed.matchAll(FENCE)]
  const candidates = [trimmed, WHOLE_FENCE.exec(trimmed)?.[1], fences.length === 1 ? fences[0]?.[1] : undefined]
  let reason: unknown
  for (const candidate of candidates) {
    if (candidate === undefined) continue
    try {
      return { value: parseJson(candidate) }
    } catch (error) {
      reason = error
    }
  }
  return { issue: `It is not usable JSON: ${toMessage(reason)}` }
}
