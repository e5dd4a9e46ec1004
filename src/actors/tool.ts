import { z } from 'zod'
import { isPerdureError, PerdureError } from '../errors.ts'
import type { ToolSchema } from './model.ts'
import { parseArguments } from './tool-arguments.ts'
import { isRecord, type ToolResult, toFailure, toResult } from './tool-result.ts'
import { toArgumentError } from './value-text.ts'

/** What a tool may be called: 1 to 64 letters, digits, `_` or `-`. It is OpenAI's rule, the strictest of the providers'. */
export const toolNamePattern = /^[A-Za-z0-9_-]{1,64}$/

/** Bytes of a result that a model is given when the tool does not say: 256 KiB. */
const defaultMaxResultBytes = 256 * 1024

/** What a tool is given besides its input. */
export interface ToolContext {
  /**
   * Aborts when the call must end. Nobody waits for a tool that ignores it, but while it still runs the same call is not executed a
   * second time: what it comes to is taken.
   */
  readonly signal: AbortSignal
  /** Names this call, the same over retries and restarts: pass it on as an idempotency key. */
  readonly key: string
  /** Counts from 1. */
  readonly attempt: number
  /** The provider's id of the call; unique within one answer of the model only. */
  readonly callId: string
}

/** Something a model may use. */
export interface Tool extends ToolSchema {
  /**
   * Runs the tool with the text the model wrote; empty text means no arguments.
   *
   * Arguments that are not JSON or do not fit, a tool that throws and a result that is not text all resolve with a result
   * for the model that says so (`isError: true`).
   *
   * @throws PerdureError `ABORTED` when the signal is aborted before the tool starts, or the tool threw after it was. A tool
   * that returns all the same has a result: it is not thrown away.
   */
  readonly execute: (argumentsText: string, context: ToolContext) => Promise<ToolResult>
}

/** What {@link tool} makes a tool from. */
export interface ToolDefinition<Schema extends z.ZodType> {
  /** 1 to 64 letters, digits, `_` or `-`. */
  readonly name: string
  /** Tells the model what the tool does and when to use it. */
  readonly description: string
  /** A zod schema of an object: the arguments. It checks them and types the input of `run`. */
  readonly input: Schema
  /**
   * Does the work. A string is given to the model as it is, nothing (`undefined`) as `done`, anything else as JSON. What it
   * throws is told to the model.
   */
  readonly run: (input: z.output<Schema>, context: ToolContext) => unknown
  /** Bytes of the result that the model is given: a longer one loses its middle. Default: 262,144 (256 KiB). */
  readonly maxResultBytes?: number | undefined
}

/**
 * Makes a tool from a function and the schema of its input.
 *
 * @throws TypeError when the definition is wrong; the message names the key.
 *
 * @example
 * ```ts
 * const add = tool({
 *   name: 'add',
 *   description: 'Adds two numbers.',
 *   input: z.object({ a: z.number(), b: z.number() }),
 *   run: ({ a, b }) => a + b,
 * })
 * ```
 */
export function tool<Schema extends z.ZodType>(definition: ToolDefinition<Schema>): Tool {
  const { name, description, input, run, maxResultBytes = defaultMaxResultBytes } = definition
  if (typeof name !== 'string' || !toolNamePattern.test(name)) {
    throw toArgumentError('name', '1 to 64 letters, digits, `_` or `-`', name)
  }
  if (typeof description !== 'string') throw toArgumentError('description', 'a string', description)
  if (typeof run !== 'function') throw toArgumentError('run', 'a function', run)
  if (!Number.isSafeInteger(maxResultBytes) || maxResultBytes < 1) {
    throw toArgumentError('maxResultBytes', 'an integer ≥ 1', maxResultBytes)
  }
  const parameters = toParameters(input)

  async function execute(argumentsText: string, context: ToolContext): Promise<ToolResult> {
    const { signal } = context
    if (signal.aborted) throw toAborted(name, signal, 'before it started')
    const parsed = await parseArguments(name, input, argumentsText)
    if (!parsed.ok) return toFailure(parsed.message, maxResultBytes)
    // Parsing can take a while: the schema may be asynchronous.
    if (signal.aborted) throw toAborted(name, signal, 'before it started')
    try {
      return toResult(name, await run(parsed.input, context), maxResultBytes)
    } catch (error) {
      if (!signal.aborted) return toFailure({ name, error }, maxResultBytes)
      if (isPerdureError(error, 'ABORTED')) throw error
      throw toAborted(name, signal, 'while it ran', error)
    }
  }

  return { name, description, parameters, execute }
}

function toParameters(input: z.ZodType): Readonly<Record<string, unknown>> {
  const expected = 'a zod schema of an object'
  if (!(input instanceof z.ZodType)) throw toArgumentError('input', expected, input)
  let schema: unknown
  try {
    // The round trip drops zod's own functions from the result: what remains is plain, storable data.
    schema = JSON.parse(JSON.stringify(z.toJSONSchema(input, { io: 'input' })))
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new TypeError(`Expected \`input\` to be ${expected} that JSON Schema can express: ${reason}`, { cause })
  }
  if (!isRecord(schema) || schema.type !== 'object') {
    const got = isRecord(schema) && typeof schema.type === 'string' ? `a schema of type \`${schema.type}\`` : 'another schema'
    throw new TypeError(`Expected \`input\` to be ${expected}, got ${got}`)
  }
  const { $schema: _, ...parameters } = schema
  return parameters
}

function toAborted(name: string, signal: AbortSignal, when: string, error?: unknown): PerdureError {
  const message = `Tool \`${name}\` was aborted ${when}; its run goes on when it is resumed`
  return new PerdureError('ABORTED', message, { cause: error ?? signal.reason, details: { tool: name } })
}
