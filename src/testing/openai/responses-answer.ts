import type { ToolCall, Usage } from '../../machines/conversation.ts'
import { toStatusError } from './api-error.ts'
import {
  type AnswerFacts,
  type BackgroundStatus,
  createdAt,
  type Frame,
  toEvent,
  toFirstHalf,
  toFragments,
} from './wire-answer.ts'
import { isObject, type WireObject } from './wire-value.ts'

type Write = (part: Frame['part'], type: string, data: WireObject) => void

/** A whole answer, as the Responses API gives it without streaming. */
export function toResponsesBody(facts: AnswerFacts): WireObject {
  const { key, played, finish } = facts
  const status = finish === 'none' ? 'in_progress' : finish === 'length' ? 'incomplete' : 'completed'
  const itemStatus = finish === 'length' ? 'incomplete' : 'completed'
  const message = hasText(facts) ? [toMessage(facts, itemStatus, [toPart(facts, played.text)])] : []
  return {
    ...toHead(facts, status),
    completed_at: status === 'completed' ? createdAt : null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    output: [...message, ...played.toolCalls.map((call, index) => toCall(key, call, index, 'completed'))],
    usage: toResponsesUsage(played.usage),
  }
}

/** An answer that is made in the background, at any stage. */
export function toBackgroundBody(facts: AnswerFacts, status: BackgroundStatus): WireObject {
  if (status === 'completed' || status === 'incomplete') return toResponsesBody(facts)
  const error = status === 'failed' ? { code: 'server_error', message: toStatusError(500).message } : null
  return { ...toHead(facts, status), error, output: [], usage: null }
}

/** The same answer as a stream of numbered events. In the background it waits first, and may fail in the middle. */
export function toResponsesFrames(facts: AnswerFacts): Frame[] {
  const frames: Frame[] = []
  const write: Write = (part, type, data) => {
    frames.push(toFrame(frames.length, part, type, data))
  }
  const begun = { ...toHead(facts, 'in_progress'), output: [], usage: null }
  const waiting = { ...begun, status: 'queued' }
  if (facts.responseId === undefined) write('opening', 'response.created', { response: begun })
  else {
    write('opening', 'response.created', { response: waiting })
    write('opening', 'response.queued', { response: waiting })
  }
  write('opening', 'response.in_progress', { response: begun })
  if (hasText(facts)) writeMessage(facts, write)
  for (const [index, call] of facts.played.toolCalls.entries()) writeCall(facts, call, index, write)
  if (facts.finish === 'failed') {
    const kept = toFirstHalf(frames)
    return [...kept, toFrame(kept.length, 'ending', 'response.failed', { response: toBackgroundBody(facts, 'failed') })]
  }
  const response = toResponsesBody(facts)
  if (facts.finish !== 'none') write('ending', `response.${response.status}`, { response })
  return frames
}

function toFrame(number: number, part: Frame['part'], type: string, data: WireObject): Frame {
  return { part, text: toEvent({ type, ...data, sequence_number: number }, type) }
}

function writeMessage(facts: AnswerFacts, write: Write): void {
  const { played, finish } = facts
  const place = { item_id: toMessageId(facts.key), output_index: 0, content_index: 0 }
  const [name, field] = finish === 'refusal' ? ['refusal', 'refusal'] : ['output_text', 'text']
  const logprobs = name === 'output_text' ? { logprobs: [] } : {}
  const part = toPart(facts, played.text)
  write('delta', 'response.output_item.added', { item: toMessage(facts, 'in_progress', []), output_index: 0 })
  write('delta', 'response.content_part.added', { ...place, part: toPart(facts, '') })
  for (const delta of played.deltas) write('delta', `response.${name}.delta`, { ...place, delta, ...logprobs })
  write('delta', `response.${name}.done`, { ...place, [field]: played.text, ...logprobs })
  write('delta', 'response.content_part.done', { ...place, part })
  const status = finish === 'length' ? 'incomplete' : 'completed'
  write('delta', 'response.output_item.done', { item: toMessage(facts, status, [part]), output_index: 0 })
}

function writeCall(facts: AnswerFacts, call: ToolCall, index: number, write: Write): void {
  const outputIndex = index + (hasText(facts) ? 1 : 0)
  const item = toCall(facts.key, call, index, 'completed')
  const place = { item_id: item.id, output_index: outputIndex }
  const begun = { ...item, status: 'in_progress', arguments: '' }
  write('delta', 'response.output_item.added', { item: begun, output_index: outputIndex })
  for (const delta of toFragments(call.arguments)) write('delta', 'response.function_call_arguments.delta', { ...place, delta })
  write('delta', 'response.function_call_arguments.done', { ...place, arguments: call.arguments })
  write('delta', 'response.output_item.done', { item, output_index: outputIndex })
}

function hasText({ played, finish }: AnswerFacts): boolean {
  return played.text !== '' || finish === 'refusal'
}

function toMessageId(key: string): string {
  return `msg_${key.slice(0, 48)}`
}

function toMessage({ key }: AnswerFacts, status: string, content: readonly WireObject[]): WireObject {
  return { id: toMessageId(key), type: 'message', status, content, role: 'assistant' }
}

function toPart({ finish }: AnswerFacts, text: string): WireObject {
  return finish === 'refusal' ? { type: 'refusal', refusal: text } : { type: 'output_text', annotations: [], logprobs: [], text }
}

function toCall(key: string, call: ToolCall, index: number, status: string): WireObject {
  const id = `fc_${key.slice(0, 46)}${index.toString(16).padStart(2, '0')}`
  return { id, type: 'function_call', status, arguments: call.arguments, call_id: call.id, name: call.name }
}

/** What a response says besides its output: mostly what it was asked with. */
function toHead({ key, request, body, responseId }: AnswerFacts, status: string): WireObject {
  return {
    id: responseId ?? `resp_${key.slice(0, 48)}`,
    object: 'response',
    created_at: createdAt,
    status,
    background: responseId !== undefined,
    completed_at: null,
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: null,
    model: request.model,
    output: [],
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: null, summary: null, ...(isObject(body.reasoning) ? body.reasoning : {}) },
    safety_identifier: null,
    service_tier: 'default',
    store: body.store ?? true,
    temperature: body.temperature ?? 1,
    text: body.text ?? { format: { type: 'text' }, verbosity: 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: 0,
    top_p: body.top_p ?? 1,
    truncation: body.truncation ?? 'disabled',
    user: null,
    metadata: body.metadata ?? {},
  }
}

function toResponsesUsage({ inputTokens, outputTokens, cachedInputTokens, reasoningTokens }: Usage): WireObject {
  return {
    input_tokens: inputTokens,
    input_tokens_details: { cached_tokens: cachedInputTokens },
    output_tokens: outputTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens },
    total_tokens: inputTokens + outputTokens,
  }
}
