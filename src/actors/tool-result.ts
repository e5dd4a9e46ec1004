import type { ChildSpent } from '../machines/conversation.ts'
import { boundText } from './bounded-output.ts'

/** What a tool call settled with, as the model sees it. */
export interface ToolResult {
  readonly content: string
  /** The tool threw or could not be run; `content` says why. */
  readonly isError: boolean
  /** What agents that worked for the call used. */
  readonly spent?: ChildSpent | undefined
}

const thrown = new WeakSet<object>()

/** Whether a result says that the tool threw: another attempt may go better. */
export const wasThrown = (result: object): boolean => thrown.has(result)

/** Marks a result as one. */
export function markThrown<T extends object>(result: T): T {
  thrown.add(result)
  return result
}

/**
 * What a tool returned, as text: a string as it is, `undefined` as `done`, anything else as JSON. Never throws: a value that
 * is not JSON (a cycle, a bigint, a function) is an error result that says that the tool did run.
 */
export function toResult(name: string, value: unknown, maxBytes: number): ToolResult {
  if (value === undefined) return { content: 'done', isError: false }
  if (typeof value === 'string') return { content: bound(value, maxBytes), isError: false }
  let json: string | undefined
  let reason = `it is a ${typeof value}`
  try {
    // JSON.stringify is typed as returning a string, but gives undefined for functions and symbols.
    json = JSON.stringify(value) as string | undefined
  } catch (error) {
    reason = toThrownText(error)
  }
  if (json !== undefined) return { content: bound(json, maxBytes), isError: false }
  return toFailure(`Tool \`${name}\` ran to its end, but its result cannot be shown as JSON: ${reason}`, maxBytes)
}

/** An error result: a message as it is, or the words for a tool that threw. */
export function toFailure(failure: string | { readonly name: string; readonly error: unknown }, maxBytes: number): ToolResult {
  const text =
    typeof failure === 'string'
      ? failure
      : `Tool \`${failure.name}\` failed: ${toThrownText(failure.error) || 'it did not say why'}`
  const result: ToolResult = { content: bound(text, maxBytes), isError: true }
  return typeof failure === 'string' ? result : markThrown(result)
}

/** The message of anything that was thrown, with the message of its direct cause; never throws itself. */
export function toThrownText(thrown: unknown): string {
  try {
    if (!(thrown instanceof Error)) return isRecord(thrown) ? JSON.stringify(thrown) : String(thrown)
    const message = thrown.message || thrown.name
    const { cause } = thrown
    return cause instanceof Error && cause.message !== '' && !message.includes(cause.message)
      ? `${message} (${cause.message})`
      : message
  } catch {
    return 'it threw a value that cannot be shown'
  }
}

/** Tells an object from every other value. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** Half of a surrogate pair has no UTF-8 form: it would come back from disk as another text. */
function bound(text: string, maxBytes: number): string {
  return boundText(text.toWellFormed(), maxBytes)
}
