import type { Usage } from '../../machines/conversation.ts'
import { type AnswerFacts, createdAt, type Finish, type Frame, toEvent, toFragments } from './wire-answer.ts'
import { isObject, type WireObject } from './wire-value.ts'

/** A whole answer, as Chat Completions gives it without streaming. */
export function toChatBody(facts: AnswerFacts): WireObject {
  const { played, finish } = facts
  const isRefusal = finish === 'refusal'
  const toolCalls = played.toolCalls.map((call) => ({
    id: call.id,
    type: 'function',
    function: { name: call.name, arguments: call.arguments },
  }))
  const message = {
    role: 'assistant',
    content: isRefusal || (played.text === '' && toolCalls.length > 0) ? null : played.text,
    ...(toolCalls.length === 0 ? {} : { tool_calls: toolCalls }),
    refusal: isRefusal ? played.text : null,
    annotations: [],
  }
  return {
    ...toHead(facts, 'chat.completion'),
    choices: [{ index: 0, message, logprobs: null, finish_reason: toReason(finish, toolCalls.length) }],
    usage: toChatUsage(played.usage),
  }
}

/** The same answer as a stream: the role, the text, each call with its arguments in pieces, the reason it ends, its usage. */
export function toChatFrames(facts: AnswerFacts): Frame[] {
  const { played, finish, body } = facts
  const hasUsage = isObject(body.stream_options) && body.stream_options.include_usage === true
  const head = toHead(facts, 'chat.completion.chunk')
  const chunk = (part: Frame['part'], delta: WireObject, reason: string | null = null): Frame => {
    const choices = [{ index: 0, delta, logprobs: null, finish_reason: reason }]
    return { part, text: toEvent({ ...head, choices, ...(hasUsage ? { usage: null } : {}) }) }
  }
  const field = finish === 'refusal' ? 'refusal' : 'content'
  const calls = played.toolCalls.flatMap((call, index) => [
    { index, id: call.id, type: 'function', function: { name: call.name, arguments: '' } },
    ...toFragments(call.arguments).map((fragment) => ({ index, function: { arguments: fragment } })),
  ])
  const isSilent = played.text === '' && calls.length > 0
  return [
    chunk('opening', { role: 'assistant', content: isSilent || field === 'refusal' ? null : '', refusal: null }),
    ...played.deltas.map((delta) => chunk('delta', { [field]: delta })),
    ...calls.map((call) => chunk('delta', { tool_calls: [call] })),
    chunk('ending', {}, toReason(finish, played.toolCalls.length)),
    ...(hasUsage ? [{ part: 'ending' as const, text: toEvent({ ...head, choices: [], usage: toChatUsage(played.usage) }) }] : []),
    { part: 'ending', text: toEvent('[DONE]') },
  ]
}

function toHead({ key, request }: AnswerFacts, object: string): WireObject {
  const id = `chatcmpl-${key.slice(0, 29)}`
  return { id, object, created: createdAt, model: request.model, service_tier: 'default', system_fingerprint: null }
}

function toReason(finish: Finish, toolCalls: number): string | null {
  if (finish === 'none') return null
  if (finish === 'length') return 'length'
  return toolCalls > 0 ? 'tool_calls' : 'stop'
}

function toChatUsage({ inputTokens, outputTokens, cachedInputTokens, reasoningTokens }: Usage): WireObject {
  return {
    prompt_tokens: inputTokens,
    completion_tokens: outputTokens,
    total_tokens: inputTokens + outputTokens,
    prompt_tokens_details: { cached_tokens: cachedInputTokens, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: reasoningTokens,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  }
}
