/**
 * What is read of the two APIs' answers. Nothing is read on trust (P9), and nothing that is not read can fail: fields that
 * Perdure does not use are not described, and null stands for absent.
 */
import { z } from 'zod'
import { AttemptFailure } from './failure.ts'

const text = z.string().nullish()
const count = z.number().int().nonnegative()

const errorShape = z.union([
  z.looseObject({ code: z.union([z.string(), z.number()]).nullish(), type: text, message: text }),
  z.string(),
])

/** An error object as both APIs write it. */
export type WireError = z.infer<typeof errorShape>

/** Text, or parts of which the text ones count. */
const content = z.union([z.string(), z.array(z.looseObject({ type: text, text }))]).nullish()

const toolCall = z.looseObject({
  index: z.number().nullish(),
  id: text,
  function: z.looseObject({ name: text, arguments: z.unknown().optional() }).nullish(),
})

/** A tool call, or a piece of one. */
export type WireToolCall = z.infer<typeof toolCall>

const chatMessage = z.looseObject({ content, refusal: text, tool_calls: z.array(toolCall).nullish() })

/** A Chat Completions chunk (`delta`) or whole completion (`message`). */
export const chatShape = z.looseObject({
  id: text,
  model: text,
  error: errorShape.nullish(),
  choices: z
    .array(
      z.looseObject({
        index: z.number().nullish(),
        finish_reason: text,
        delta: chatMessage.nullish(),
        message: chatMessage.nullish(),
      }),
    )
    .nullish(),
  usage: z.unknown().optional(),
})

/** Tokens as Chat Completions counts them. */
export const chatUsageShape = z.looseObject({
  prompt_tokens: count,
  completion_tokens: count,
  prompt_tokens_details: z.looseObject({ cached_tokens: count.nullish(), cache_write_tokens: count.nullish() }).nullish(),
  completion_tokens_details: z.looseObject({ reasoning_tokens: count.nullish() }).nullish(),
})

/** Tokens as the Responses API counts them. */
export const responsesUsageShape = z.looseObject({
  input_tokens: count,
  output_tokens: count,
  input_tokens_details: z.looseObject({ cached_tokens: count.nullish(), cache_write_tokens: count.nullish() }).nullish(),
  output_tokens_details: z.looseObject({ reasoning_tokens: count.nullish() }).nullish(),
})

/** A response of the Responses API, at any stage. */
export const responseShape = z.looseObject({
  id: text,
  model: text,
  status: text,
  error: errorShape.nullish(),
  incomplete_details: z.looseObject({ reason: text }).nullish(),
  output: z.array(z.record(z.string(), z.unknown())).nullish(),
  usage: z.unknown().optional(),
})

/** A {@link responseShape} that was read. */
export type WireResponse = z.infer<typeof responseShape>

/** An event of a Responses stream. */
export const responsesEventShape = z.looseObject({
  type: text,
  sequence_number: z.number().int().nonnegative().nullish(),
  output_index: z.number().nullish(),
  delta: z.unknown().optional(),
  arguments: text,
  item: z.record(z.string(), z.unknown()).nullish(),
  response: responseShape.nullish(),
  error: errorShape.nullish(),
  code: z.union([z.string(), z.number()]).nullish(),
  message: text,
})

/** An item of a response that is a function call. */
export const functionCallShape = z.looseObject({
  type: z.literal('function_call'),
  call_id: text,
  name: text,
  arguments: z.unknown().optional(),
})

/** An item of a response that is a message. */
export const outputMessageShape = z.looseObject({
  type: z.literal('message'),
  content: z.array(z.looseObject({ type: text, text, refusal: text })).nullish(),
})

/** Reads a value by its shape. Errors: an `AttemptFailure` with `MODEL_BAD_ANSWER` that names the field. */
export function readShape<T>(shape: z.ZodType<T>, value: unknown): T {
  const result = shape.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const where = issue === undefined || issue.path.length === 0 ? 'its top' : `\`${issue.path.join('.')}\``
  throw new AttemptFailure('MODEL_BAD_ANSWER', `The model's answer cannot be read at ${where}: ${issue?.message}. Ask again.`, {
    retry: 'few',
  })
}

/** The arguments of a call as text: some servers send them parsed. */
export function toArgumentsText(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}
