/** What a model is told and what it answers, independent of the provider's API. Plain, storable data. */

/** One call of a tool that a model asked for. `arguments` is the text the model wrote: it may not be valid JSON. */
export interface ToolCall {
  /** The provider's id of the call; unique within one answer. */
  readonly id: string
  readonly name: string
  readonly arguments: string
}

/** What the user said. */
export interface UserMessage {
  readonly role: 'user'
  readonly content: string
}

/** What the model said, and the tool calls it asked for. */
export interface AssistantMessage {
  readonly role: 'assistant'
  readonly content: string
  readonly toolCalls: readonly ToolCall[]
  /**
   * The answer's items exactly as the Responses API gave them, so that reasoning is handed back unchanged. Absent for
   * Chat Completions and scripted models.
   */
  readonly items?: readonly unknown[]
}

/** What became of a tool call, as the model is told. */
export interface ToolMessage {
  readonly role: 'tool'
  readonly callId: string
  readonly name: string
  readonly content: string
  /** What agents that worked for this call used. */
  readonly spent?: ChildSpent | undefined
  /** The tool threw, was not found or its arguments did not fit. The model sees `content` all the same. */
  readonly isError: boolean
}

/** One message of a conversation; the system prompt is none. */
export type Message = UserMessage | AssistantMessage | ToolMessage

/** Tokens of one or more model calls. `inputTokens` includes the cached ones, `outputTokens` the reasoning ones. */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  readonly cachedInputTokens: number
  readonly reasoningTokens: number
}

/** What counts against limits. */
export interface Spent {
  /** Model requests. */
  readonly steps: number
  /** Input and output. */
  readonly tokens: number
  /** US dollars, as far as prices are known. */
  readonly costUsd: number
  /** Model requests whose price is not known: they are not in `costUsd`. */
  readonly unpricedCalls: number
}

/** What the agents used that worked for a tool call, in all. */
export interface ChildSpent extends Spent, Usage {
  readonly toolCalls: number
}

/** What one model call settled with. */
export interface ModelAnswer {
  readonly message: AssistantMessage
  /** `undefined` when the provider did not say. */
  readonly usage: Usage | undefined
  /** US dollars; `undefined` when the price of the model is not known. Never a guess, never zero for unknown. */
  readonly costUsd: number | undefined
  /** The model that answered, as the provider names it. */
  readonly model: string
  /** The provider's id of the answer, where it gave one. */
  readonly responseId: string | undefined
  /**
   * Earlier attempts at this answer that were in flight when their process ended, and were asked again: they may have been billed. Tokens and
   * cost are estimates, of the requests alone.
   */
  readonly lost?: { readonly calls: number; readonly inputTokens: number; readonly costUsd: number | undefined } | undefined
}
