import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import type { ModelAnswer } from '../machines/conversation.ts'

const Call = z.object({ id: z.string().min(1), name: z.string(), arguments: z.string() })

const Answer = z.object({
  message: z.object({
    role: z.literal('assistant'),
    content: z.string(),
    toolCalls: z.array(Call).refine((calls) => new Set(calls.map(({ id }) => id)).size === calls.length, {
      error: 'Expected each id once',
    }),
    items: z.array(z.unknown()).exactOptional(),
  }),
  usage: z
    .object({
      inputTokens: z.number().min(0),
      outputTokens: z.number().min(0),
      cachedInputTokens: z.number().min(0),
      reasoningTokens: z.number().min(0),
    })
    .optional(),
  costUsd: z.number().min(0).optional(),
  model: z.string(),
  responseId: z.string().optional(),
})

/** Checks what a `Model` resolved with: it may be anybody's function. Errors: `MODEL_BAD_ANSWER`. */
export function parseModelAnswer(model: string, value: unknown): ModelAnswer {
  const result = Answer.safeParse(value)
  if (!result.success)
    throw new PerdureError(
      'MODEL_BAD_ANSWER',
      `What the model function of \`${model}\` resolved with is no \`ModelAnswer\`: ${z.prettifyError(result.error)}`,
      { details: { model } },
    )
  const { usage, costUsd, responseId, ...rest } = result.data
  return { ...rest, usage, costUsd, responseId }
}
