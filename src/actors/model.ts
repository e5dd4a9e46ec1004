import type { Message, ModelAnswer } from '../machines/conversation.ts'

/** A tool as a model sees it. */
export interface ToolSchema {
  readonly name: string
  readonly description: string
  /** JSON Schema of the arguments: always an object schema. */
  readonly parameters: Readonly<Record<string, unknown>>
}

/** How the model should answer. Left out means: the provider's default. */
export interface ModelSettings {
  readonly temperature?: number | undefined
  readonly topP?: number | undefined
  readonly maxOutputTokens?: number | undefined
  readonly reasoningEffort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | undefined
  readonly parallelToolCalls?: boolean | undefined
}

/** One request to a model: everything that decides the answer. */
export interface ModelRequest {
  readonly model: string
  readonly systemPrompt: string
  readonly settings: ModelSettings
  readonly tools: readonly ToolSchema[]
  readonly messages: readonly Message[]
}

/** What a model call is given besides the request. */
export interface ModelCallContext {
  readonly signal: AbortSignal
  /** Called with each piece of text as it arrives. A retry of the same call starts over: `onRetry` says so first. */
  readonly onText: (delta: string) => void
  /** Called before a failed attempt is repeated; text received so far is void. `attempt` counts from 1, `delayMs` is the wait. */
  readonly onRetry: (retry: { readonly attempt: number; readonly delayMs: number; readonly error: Error }) => void
}

/**
 * Something that answers a conversation. Throws a `PerdureError` (`MODEL_*`, `ABORTED`) when it cannot; what it returns is
 * complete: a cut, empty or unfinished answer is an error, never an answer.
 */
export type Model = (request: ModelRequest, context: ModelCallContext) => Promise<ModelAnswer>
