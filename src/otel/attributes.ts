/** The names of OpenTelemetry's semantic conventions for generative AI and, where these have none, `perdure.*`. */
import type { Attributes } from '@opentelemetry/api'
import { isPerdureError } from '../errors.ts'
import type { RuntimeEvent } from '../runtime/events.ts'
import type { Spend } from '../runtime/spend.ts'

type Event<T extends RuntimeEvent['type']> = Extract<RuntimeEvent, { readonly type: T }>

/** What kind of operation a call is: its span is named after it. */
export const toOperation = (kind: string): string => (kind === 'model' ? 'chat' : kind === 'tool' ? 'execute_tool' : kind)

/** A name of few values: the code of an error, or its class. Never its message, which may hold what a model or a tool said. */
export function toErrorType(error: unknown): string {
  if (isPerdureError(error)) return error.code
  return error instanceof Error && error.name !== '' ? error.name : '_OTHER'
}

export function toCallAttributes(call: Event<'call.started' | 'call.recovering'>): Attributes {
  const { runId, kind, name, attempt, key, callId, provider } = call
  const common = { 'perdure.run.id': runId, 'perdure.call.key': key, 'perdure.attempt': attempt }
  if (kind === 'model')
    return {
      ...common,
      'gen_ai.operation.name': 'chat',
      'gen_ai.request.model': name,
      'gen_ai.conversation.id': runId,
      'gen_ai.provider.name': provider,
    }
  if (kind === 'tool')
    return {
      ...common,
      'gen_ai.operation.name': 'execute_tool',
      'gen_ai.tool.name': name,
      'gen_ai.tool.call.id': callId,
      'gen_ai.tool.type': 'function',
    }
  return { ...common, 'perdure.step.name': name }
}

export function toTurnAttributes({ runId, reason, of }: Event<'checkpoint.started'>): Attributes {
  return {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.agent.name': of?.agent,
    'gen_ai.request.model': of?.model,
    'gen_ai.conversation.id': runId,
    'perdure.run.id': runId,
    'perdure.turn': of?.turn,
    'perdure.attempt': of?.attempt,
    'perdure.reason': reason,
  }
}

/** What was paid: tokens as the conventions name them. A call whose price is not known has no cost. */
export function toSpendAttributes(spend: Spend): Attributes {
  if (spend.modelCalls === 0) return {}
  const { inputTokens, outputTokens, cachedInputTokens, costUsd, unpricedCalls } = spend
  return {
    'gen_ai.usage.input_tokens': inputTokens,
    'gen_ai.usage.output_tokens': outputTokens,
    'gen_ai.usage.cache_read.input_tokens': cachedInputTokens,
    ...(unpricedCalls < spend.modelCalls ? { 'perdure.cost.usd': costUsd } : {}),
    ...(unpricedCalls > 0 ? { 'perdure.calls.unpriced': unpricedCalls } : {}),
  }
}

/** What was returned from the store instead of being paid again. */
export function toReuseAttributes({ modelCalls, toolCalls, costUsd }: Spend): Attributes {
  if (modelCalls + toolCalls === 0) return {}
  return { 'perdure.reused.calls': modelCalls + toolCalls, 'perdure.reused.cost.usd': costUsd }
}
