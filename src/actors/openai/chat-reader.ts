import type { Usage } from '../../machines/conversation.ts'
import type { AnswerListener, AnswerReader, Draft, Finish } from './draft.ts'
import type { AttemptFailure } from './failure.ts'
import { createToolCallPieces } from './tool-call-pieces.ts'
import { chatShape, chatUsageShape, readShape, type WireError } from './wire-shape.ts'

/** Reads an answer of the Chat Completions API. Only the first choice counts: no more are asked for. */
export function createChatReader(
  { onText, onArguments }: AnswerListener,
  toFailure: (error: WireError) => AttemptFailure,
): AnswerReader {
  const calls = createToolCallPieces()
  let text = ''
  let refusal = ''
  let finishReason: string | undefined
  let usage: unknown
  let model: string | undefined
  let responseId: string | undefined

  function read(body: unknown): void {
    const chunk = readShape(chatShape, body)
    if (chunk.error !== undefined && chunk.error !== null) throw toFailure(chunk.error)
    model = chunk.model || model
    responseId = chunk.id || responseId
    usage = chunk.usage ?? usage
    for (const choice of chunk.choices ?? []) {
      if ((choice.index ?? 0) !== 0) continue
      const message = choice.delta ?? choice.message
      const delta = toText(message?.content)
      text += delta
      refusal += message?.refusal ?? ''
      const pieces = (message?.tool_calls ?? []).map((piece) => calls.add(piece))
      // Some servers repeat an empty reason in every chunk.
      finishReason = choice.finish_reason || finishReason
      if (delta !== '') onText(delta)
      for (const piece of pieces) {
        const { id: callId, name } = piece.call
        if (piece.delta !== '') onArguments({ callId, name, delta: piece.delta })
      }
    }
  }

  return {
    readEvent: read,
    readWhole: read,
    isFinished: () => finishReason !== undefined,
    draft: (): Draft => ({
      finish: toFinish(finishReason),
      text,
      refusal,
      toolCalls: calls.toCalls(),
      items: undefined,
      ...toUsage(usage),
      model,
      responseId,
    }),
  }
}

type Content = string | readonly { readonly type?: string | null | undefined; readonly text?: string | null | undefined }[]

function toText(content: Content | null | undefined): string {
  if (typeof content === 'string') return content
  return (content ?? []).map((part) => (part.type === 'text' ? (part.text ?? '') : '')).join('')
}

function toFinish(reason: string | undefined): Finish {
  switch (reason) {
    case undefined:
      return { kind: 'unfinished', status: undefined }
    case 'error':
      return { kind: 'unfinished', status: 'error' }
    case 'length':
      return { kind: 'cut-off' }
    case 'content_filter':
      return { kind: 'filtered' }
    case 'tool_calls':
      return { kind: 'tool-calls' }
    default:
      return { kind: 'complete' }
  }
}

function toUsage(value: unknown): { usage: Usage | undefined; cacheWriteTokens: number } {
  const parsed = chatUsageShape.safeParse(value)
  if (!parsed.success) return { usage: undefined, cacheWriteTokens: 0 }
  const { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } = parsed.data
  return {
    usage: {
      inputTokens: prompt_tokens,
      outputTokens: completion_tokens,
      cachedInputTokens: prompt_tokens_details?.cached_tokens ?? 0,
      reasoningTokens: completion_tokens_details?.reasoning_tokens ?? 0,
    },
    cacheWriteTokens: prompt_tokens_details?.cache_write_tokens ?? 0,
  }
}
