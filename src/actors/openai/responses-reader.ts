import type { ToolCall, Usage } from '../../machines/conversation.ts'
import type { AnswerListener, AnswerReader, Draft, Finish, OutputItem } from './draft.ts'
import type { AttemptFailure } from './failure.ts'
import {
  functionCallShape,
  outputMessageShape,
  readShape,
  responseShape,
  responsesEventShape,
  responsesUsageShape,
  toArgumentsText,
  type WireError,
  type WireResponse,
} from './wire-shape.ts'

/**
 * Reads an answer of the Responses API. The items of the final event count; where a server leaves them out there, those that
 * the stream gave. Events of other kinds are skipped: the API adds some with every release.
 */
export function createResponsesReader(
  { onText, onArguments }: AnswerListener,
  toFailure: (error: WireError) => AttemptFailure,
): AnswerReader {
  const streamed = new Map<number, OutputItem>()
  const heardArguments = new Map<number, string>()
  let streamedText = ''
  let begun: WireResponse | undefined
  let ended: WireResponse | undefined

  function end(response: WireResponse): void {
    if (response.error !== undefined && response.error !== null) throw toFailure(response.error)
    if (response.status === 'failed') throw toFailure({ message: 'The response failed without a reason.' })
    ended = response
  }

  function hearText(delta: string): void {
    if (delta === '') return
    streamedText += delta
    onText(delta)
  }

  function hearArguments(at: number, item: OutputItem, delta: string): void {
    if (delta === '') return
    heardArguments.set(at, (heardArguments.get(at) ?? '') + delta)
    const { call_id: callId, name } = readShape(functionCallShape, item)
    onArguments({ callId: callId ?? '', name: name ?? '', delta })
  }

  /** What a whole answer holds beyond what was heard of it. */
  function hearRest(items: readonly OutputItem[]): void {
    hearText(toRest(toTexts(items).text, streamedText))
    for (const [at, item] of items.entries()) {
      if (item.type === 'function_call')
        hearArguments(at, item, toRest(toArgumentsText(item.arguments), heardArguments.get(at) ?? ''))
    }
  }

  function readEvent(value: unknown): void {
    const event = readShape(responsesEventShape, value)
    const at = event.output_index ?? 0
    switch (event.type) {
      case 'response.created':
      case 'response.queued':
      case 'response.in_progress':
        begun = event.response ?? begun
        return
      case 'response.output_text.delta':
        if (typeof event.delta === 'string') hearText(event.delta)
        return
      case 'response.output_item.added':
      case 'response.output_item.done':
        if (event.item !== undefined && event.item !== null) streamed.set(at, event.item)
        return
      case 'response.function_call_arguments.delta': {
        const item = streamed.get(at)
        if (item?.type !== 'function_call' || typeof event.delta !== 'string') return
        hearArguments(at, item, event.delta)
        streamed.set(at, { ...item, arguments: toArgumentsText(item.arguments) + event.delta })
        return
      }
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed':
        end({ ...event.response, status: event.type.slice('response.'.length) })
        return
      case 'error':
        throw toFailure(event.error ?? { code: event.code, message: event.message })
      default:
        if (event.error !== undefined && event.error !== null) throw toFailure(event.error)
    }
  }

  return {
    readEvent,
    readWhole(body) {
      const response = readShape(responseShape, body)
      end(response)
      hearRest(response.output ?? [])
    },
    isFinished: () => ended !== undefined,
    draft(): Draft {
      const response = ended ?? begun
      const items = ended?.output?.length ? ended.output : [...streamed].sort(([a], [b]) => a - b).map(([, item]) => item)
      const said = toTexts(items)
      return {
        finish: toFinish(ended),
        text: said.text === '' ? streamedText : said.text,
        refusal: said.refusal,
        toolCalls: items.flatMap(toToolCall),
        // Text that is in no item would be lost when the items are handed back.
        items: items.length === 0 || (said.text === '' && streamedText !== '') ? undefined : items,
        ...toUsage(response?.usage),
        model: response?.model ?? undefined,
        responseId: response?.id ?? undefined,
      }
    },
  }
}

/** What follows the part that is known. A text that does not begin with it has no such rest. */
function toRest(whole: string, known: string): string {
  return whole.startsWith(known) ? whole.slice(known.length) : ''
}

function toToolCall(item: OutputItem): ToolCall[] {
  if (item.type !== 'function_call') return []
  const call = readShape(functionCallShape, item)
  return [{ id: call.call_id ?? '', name: call.name ?? '', arguments: toArgumentsText(call.arguments) }]
}

function toTexts(items: readonly OutputItem[]): { text: string; refusal: string } {
  const parts = items.flatMap((item) => (item.type === 'message' ? (readShape(outputMessageShape, item).content ?? []) : []))
  return {
    text: parts.map((part) => (part.type === 'output_text' ? (part.text ?? '') : '')).join(''),
    refusal: parts.map((part) => (part.type === 'refusal' ? (part.refusal ?? 'The model refused.') : '')).join(''),
  }
}

function toFinish(ended: WireResponse | undefined): Finish {
  // Some servers shorten the word.
  if (ended?.status === 'completed' || ended?.status === 'complete') return { kind: 'complete' }
  if (ended?.status !== 'incomplete') return { kind: 'unfinished', status: ended?.status ?? undefined }
  const reason = ended.incomplete_details?.reason
  if (reason === 'content_filter') return { kind: 'filtered' }
  if (reason === 'max_output_tokens' || reason === 'max_tokens') return { kind: 'cut-off' }
  return { kind: 'unfinished', status: `incomplete (${reason ?? 'no reason given'})` }
}

function toUsage(value: unknown): { usage: Usage | undefined; cacheWriteTokens: number } {
  const parsed = responsesUsageShape.safeParse(value)
  if (!parsed.success) return { usage: undefined, cacheWriteTokens: 0 }
  const { input_tokens, output_tokens, input_tokens_details, output_tokens_details } = parsed.data
  return {
    usage: {
      inputTokens: input_tokens,
      outputTokens: output_tokens,
      cachedInputTokens: input_tokens_details?.cached_tokens ?? 0,
      reasoningTokens: output_tokens_details?.reasoning_tokens ?? 0,
    },
    cacheWriteTokens: input_tokens_details?.cache_write_tokens ?? 0,
  }
}
