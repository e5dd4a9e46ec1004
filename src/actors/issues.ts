import { z } from 'zod'
import { nearest } from './nearest.ts'
import { toValueText } from './value-text.ts'

/** One thing that is wrong with a value that was checked against a schema. Plain, storable data. */
export interface Issue {
  /** Where: `settings.temperature`, `allowedTools[2]`; empty for the value itself. */
  readonly path: string
  /** What was expected and what was got. */
  readonly message: string
}

/**
 * The issues of a zod error, each with its path and what was found there, in the order in which zod found them.
 *
 * @param value the value that was checked
 * @param knownKeys keys to suggest where one at the top is unknown
 */
export function toIssues(error: z.ZodError, value: unknown, knownKeys: readonly string[] = []): readonly Issue[] {
  return error.issues.map((issue) => toIssue(issue, value, knownKeys))
}

/** Issues as lines of text, one each. */
export function toIssueLines(issues: readonly Issue[]): string[] {
  return issues.map(({ path, message }) => (path === '' ? message : `\`${path}\`: ${message}`))
}

function toIssue(issue: z.core.$ZodIssue, value: unknown, knownKeys: readonly string[]): Issue {
  const path = z.core.toDotPath(issue.path)
  if (issue.code === 'unrecognized_keys') {
    // The values of unknown keys stay out: one of them may be an API key. P11
    const keys = issue.keys.map((key) => `\`${key}\`${suggest(key, issue.path.length === 0 ? knownKeys : [])}`)
    return { path, message: `${keys.length === 1 ? 'Unknown key' : 'Unknown keys'} ${keys.join(', ')}` }
  }
  if (issue.code === 'custom') return { path, message: issue.message }
  return { path, message: `${describe(issue)}, got ${toValueText(valueAt(value, issue.path))}` }
}

function describe(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return withoutReceived(issue.message)
  const branches = issue.errors.map((errors) => errors.map((one) => nested(one)).join(' and '))
  return [...new Set(branches)].join(', or ')
}

function nested(issue: z.core.$ZodIssue): string {
  const path = z.core.toDotPath(issue.path)
  return path === '' ? describe(issue) : `\`${path}\`: ${describe(issue)}`
}

/** Zod names the type it received; `toValueText` says it better. */
function withoutReceived(message: string): string {
  return message.replace(/, received [^,]*$/, '')
}

function suggest(key: string, knownKeys: readonly string[]): string {
  const known = nearest(key, knownKeys)
  return known === undefined ? '' : ` (did you mean \`${known}\`?)`
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let current: unknown = value
  for (const key of path) {
    if (typeof current !== 'object' || current === null) return undefined
    current = Reflect.get(current, key)
  }
  return current
}
