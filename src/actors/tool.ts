import { z } from 'zod'
import { isPerdureError, PerdureError } from '../errors.ts'
import type { Remaining } from '../machines/limits.ts'
import type { OnDoubt, Recovery } from './doubt.ts'
import type { ToolSchema } from './model.ts'
import type { Question } from './question.ts'
import { type RetryPolicy, toRetryDelay } from './retry.ts'
import { parseArguments, readArguments } from './tool-arguments.ts'
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
  /** Counts from 1, over retries and restarts. */
  readonly attempt: number
  /** The provider's id of the call; unique within one answer of the model only. */
  readonly callId: string
  /** The run that the call belongs to; empty when the agent is not durable. */
  readonly runId: string
  /** Tells those who watch the run how far it is: any storable value. Nothing records it. */
  readonly progress: (value: unknown) => void
  /**
   * A folder for files that a call needs to be found again after a crash. It is for the tool to create, and removed once the call has settled. Undefined
   * when the agent is not durable.
   */
  readonly directory?: string | undefined
  /** What agents that work for this call may use of what is left of the turn's and the run's limits. */
  readonly remaining?: Remaining | undefined
}

/** What a tool changes outside: nothing, something that the same `key` changes once only, or something else. */
export type ToolEffect = 'none' | 'idempotent' | 'external'

/** A call in doubt: the process ended while it ran. `attempt` is the number of that attempt. */
export type ToolRecoveryContext<Args = unknown> = ToolContext & { readonly args: Args }

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
  /** Default: `external`. */
  readonly effect?: ToolEffect | undefined
  /** Default: `report` for an `external` effect, else `retry`. */
  readonly onDoubt?: OnDoubt | undefined
  /** Finds out what became of a call in doubt. */
  readonly recover?: ((argumentsText: string, context: ToolContext) => Promise<Recovery<ToolResult>>) | undefined
  /** Whether a person has to approve the call first. Default: nobody has to. */
  readonly needsApproval?: ((argumentsText: string) => boolean) | undefined
  /** Checks arguments that a person wrote: `undefined` when they fit, else what is wrong. */
  readonly check?: ((argumentsText: string) => Promise<string | undefined>) | undefined
  /** Milliseconds that one attempt may take. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** When a call that threw, or took too long, is made again. Default: never. */
  readonly retry?: RetryPolicy | undefined
  /** The tool is a person: what that one is asked. The answer is the result; `execute` is called only when the arguments are not usable. */
  readonly toQuestion?: ((argumentsText: string) => Question<ToolResult> | undefined) | undefined
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
  /**
   * What the tool changes outside. It decides what is done about a call that was cut off by the death of the process. `none` and
   * `idempotent` (the outside world takes one `key` once): it is executed again, with the same `key`. `external`: see `onDoubt`.
   * Default: `external`.
   */
  readonly effect?: ToolEffect | undefined
  /**
   * Asks the outside world, with the `key`, what became of a call that was cut off: `settled` with what `run` would have returned (or with
   * its `error`), `notStarted`, or `unknown`. One that throws is taken for `unknown`. Default: nobody can tell.
   */
  readonly recover?:
    | ((context: ToolRecoveryContext<z.output<Schema>>) => Recovery<unknown> | Promise<Recovery<unknown>>)
    | undefined
  /**
   * What is done when the outcome of a call that was cut off is not known: `retry` executes it again, with the same `key`; `report` tells
   * the model so, in plain words; `ask` waits until a person has said. Default: `report` for an `external` effect, else `retry`.
   */
  readonly onDoubt?: OnDoubt | undefined
  /**
   * Whether the run waits, for as long as it takes, until a person has approved, denied or changed the call: always (`true`), or for some
   * arguments. A function that throws, or a schema that is asynchronous, means yes. Default: false.
   */
  readonly approval?: boolean | ((args: z.output<Schema>) => boolean) | undefined
  /** Milliseconds that one attempt may take; then `signal` aborts and the model is told. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** When a call that threw, or took too long, is made again, with the same `key`; the model sees the last outcome only. Default: never. */
  readonly retry?: RetryPolicy | undefined
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
  const { effect = 'external', onDoubt = effect === 'external' ? 'report' : 'retry' } = definition
  const { recover, approval = false, timeoutMs, retry } = definition
  assertOneOf('effect', effect, ['none', 'idempotent', 'external'])
  assertOneOf('onDoubt', onDoubt, ['retry', 'report', 'ask'])
  if (recover !== undefined && typeof recover !== 'function') throw toArgumentError('recover', 'a function', recover)
  if (typeof approval !== 'boolean' && typeof approval !== 'function')
    throw toArgumentError('approval', 'a boolean or a function of the arguments', approval)
  if (timeoutMs !== undefined && !(Number.isInteger(timeoutMs) && timeoutMs >= 1 && timeoutMs < 2 ** 31))
    throw toArgumentError('timeoutMs', 'an integer from 1 to 2,147,483,647', timeoutMs)
  if (retry !== undefined) toRetryDelay(retry)
  const parameters = toParameters(input)

  function needsApproval(argumentsText: string): boolean {
    if (typeof approval === 'boolean') return approval
    const parsed = readArguments(input, argumentsText)
    if (parsed === 'misfit') return false // the model is told so, and nothing runs
    try {
      return parsed === 'unknown' || approval(parsed.input) !== false
    } catch {
      return true
    }
  }

  async function recoverCall(argumentsText: string, context: ToolContext): Promise<Recovery<ToolResult>> {
    const parsed = await parseArguments(name, input, argumentsText)
    if (!parsed.ok || recover === undefined) return { status: 'unknown' }
    const recovery = await recover({ ...context, args: parsed.input })
    if (!isRecord(recovery)) return { status: 'unknown' }
    if (recovery.status === 'unknown' || recovery.status === 'notStarted') return recovery
    if (recovery.status !== 'settled') return { status: 'unknown' }
    if ('error' in recovery && recovery.error !== undefined)
      return { status: 'settled', value: toFailure({ name, error: recovery.error }, maxResultBytes) }
    return { status: 'settled', value: toResult(name, 'value' in recovery ? recovery.value : undefined, maxResultBytes) }
  }

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

  return {
    name,
    description,
    parameters,
    execute,
    effect,
    onDoubt,
    recover: recover === undefined ? undefined : recoverCall,
    needsApproval: approval === false ? undefined : needsApproval,
    async check(argumentsText) {
      const parsed = await parseArguments(name, input, argumentsText)
      return parsed.ok ? undefined : parsed.message
    },
    timeoutMs,
    retry,
  }
}

function assertOneOf(option: string, value: unknown, known: readonly string[]): void {
  if (typeof value === 'string' && known.includes(value)) return
  throw toArgumentError(option, known.map((word) => `'${word}'`).join(', '), value)
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
