import { randomUUID } from 'node:crypto'
import type { ModelAnswer, ToolCall } from '../../machines/conversation.ts'
import type { ModelRequest } from '../model.ts'
import type { Draft, OutputItem } from './draft.ts'
import { AttemptFailure } from './failure.ts'
import type { CallPlace } from './provider-error.ts'

/** What an attempt cost, whether or not its answer is of use. */
export type Receipt = Pick<ModelAnswer, 'usage' | 'costUsd' | 'model' | 'responseId'>

/**
 * Judges what was read: an answer, or the failure that it is. A failure that was paid for holds its receipt in `details`.
 *
 * Ids of tool calls in an answer are unique within the conversation: a missing one, and one that was used before (some
 * servers count from 0 in every answer), is replaced, as a step's key is made of it (P4).
 */
export function settle(draft: Draft, receipt: Receipt, request: ModelRequest, place: CallPlace): ModelAnswer {
  const details = { host: place.host, ...receipt }
  const who = `The answer of model "${place.model}"`
  if (draft.refusal !== '') {
    throw new AttemptFailure('MODEL_REFUSED', `Model "${place.model}" refused: "${draft.refusal}". Change what it is asked.`, {
      details: { ...details, refusal: draft.refusal },
    })
  }
  switch (draft.finish.kind) {
    case 'filtered':
      throw new AttemptFailure(
        'MODEL_REFUSED',
        `${who} was stopped by the provider's content filter. Change what the model is asked.`,
        { details: { ...details, text: draft.text } },
      )
    case 'cut-off':
      throw new AttemptFailure(
        'MODEL_CUT_OFF',
        `${who} was cut off at its limit${toSizes(receipt, request)}. Raise \`maxOutputTokens\` or ask for less.`,
        { details },
      )
    case 'unfinished':
      throw toUnfinished(draft.finish.status, who, details)
    default:
  }
  if (draft.toolCalls.some((call) => call.name === '')) {
    throw badAnswer(`${who} calls a tool without naming it.`, details)
  }
  if (draft.finish.kind === 'tool-calls' && draft.toolCalls.length === 0) {
    throw badAnswer(`${who} says that it calls tools and holds no call.`, details)
  }
  if (draft.toolCalls.length === 0 && draft.text.trim() === '') {
    throw badAnswer(`${who} holds neither text nor tool calls.`, details)
  }
  const ids = toUniqueIds(draft.toolCalls, request)
  const toolCalls = draft.toolCalls.map((call, at) => ({ ...call, id: ids[at] ?? call.id }))
  const items = draft.items === undefined ? undefined : withCallIds(draft.items, ids)
  return { message: { role: 'assistant', content: draft.text, toolCalls, ...(items === undefined ? {} : { items }) }, ...receipt }
}

function toUnfinished(status: string | undefined, who: string, details: Readonly<Record<string, unknown>>): AttemptFailure {
  if (status === 'cancelled')
    return new AttemptFailure('MODEL_UNAVAILABLE', `${who} was cancelled at the provider. Run again to ask once more.`, {
      details: { ...details, isCancelled: true },
    })
  if (status !== undefined) return badAnswer(`${who} ended as "${status}".`, details)
  return new AttemptFailure('MODEL_UNAVAILABLE', `${who} broke off: the stream ended without a finish. Try again later.`, {
    retry: 'few',
    details,
  })
}

function badAnswer(problem: string, details: Readonly<Record<string, unknown>>): AttemptFailure {
  return new AttemptFailure('MODEL_BAD_ANSWER', `${problem} Ask again, or use another model.`, { retry: 'few', details })
}

function toSizes(receipt: Receipt, request: ModelRequest): string {
  const spent = receipt.usage === undefined ? '' : ` after ${receipt.usage.outputTokens} tokens`
  const limit = request.settings.maxOutputTokens
  return limit === undefined ? spent : `${spent} (maxOutputTokens: ${limit})`
}

function toUniqueIds(calls: readonly ToolCall[], request: ModelRequest): string[] {
  const taken = new Set<string>()
  for (const message of request.messages) {
    if (message.role === 'assistant') for (const call of message.toolCalls) taken.add(call.id)
  }
  return calls.map(({ id }) => {
    const unique = id === '' || taken.has(id) ? `call_${randomUUID()}` : id
    taken.add(unique)
    return unique
  })
}

/** The items with the ids that their calls were given, in order; unchanged where none was replaced. */
function withCallIds(items: readonly OutputItem[], ids: readonly string[]): readonly OutputItem[] {
  let at = 0
  return items.map((item) => {
    if (item.type !== 'function_call') return item
    const id = ids[at++]
    return item.call_id === id ? item : { ...item, call_id: id }
  })
}
