import type { ToolCall, Usage } from '../../machines/conversation.ts'
import type { ModelCallContext } from '../model.ts'

/** Why a model stopped. */
export type Finish =
  | { readonly kind: 'complete' }
  /** It says that it calls tools, so there must be calls. */
  | { readonly kind: 'tool-calls' }
  | { readonly kind: 'cut-off' }
  | { readonly kind: 'filtered' }
  /** No sign of an end: `status` is what the server called it, if anything. */
  | { readonly kind: 'unfinished'; readonly status: string | undefined }

/** What was read of an answer, by whichever API, before it is judged. */
export interface Draft {
  readonly finish: Finish
  readonly text: string
  readonly refusal: string
  /** Ids as the provider gave them: possibly empty or used before. */
  readonly toolCalls: readonly ToolCall[]
  /** The Responses API's output items. */
  readonly items: readonly OutputItem[] | undefined
  readonly usage: Usage | undefined
  readonly cacheWriteTokens: number
  readonly model: string | undefined
  readonly responseId: string | undefined
}

/** An output item of the Responses API: data of the provider that is handed back as it came. */
export type OutputItem = Readonly<Record<string, unknown>>

/** What hears of an answer while it arrives. */
export type AnswerListener = Pick<ModelCallContext, 'onText' | 'onArguments'>

/** Reads one attempt's answer, event by event or as a whole. Throws an `AttemptFailure` for what it cannot read. */
export interface AnswerReader {
  /** One event of the stream. */
  readEvent(event: unknown): void
  /** An answer that came in one piece: what of it was not heard yet is told. */
  readWhole(body: unknown): void
  /** The answer's end was seen: what follows is at most usage, and nothing that follows can spoil it. */
  isFinished(): boolean
  draft(): Draft
}
