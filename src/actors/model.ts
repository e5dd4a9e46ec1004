import type { Message, ModelAnswer, Usage } from '../machines/conversation.ts'

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
  /** The form that the answer should have. */
  readonly output?: { readonly name: string; readonly schema: Readonly<Record<string, unknown>> } | undefined
}

/** What a model call is given besides the request. */
export interface ModelCallContext {
  readonly signal: AbortSignal
  /** Called with each piece of text as it arrives. A retry of the same call starts over: `onRetry` says so first. */
  readonly onText: (delta: string) => void
  /**
   * Called with each piece of the arguments of a tool call as it arrives. `callId` is the provider's: empty when it gave none, and not the one in the
   * answer when it was used before.
   */
  readonly onArguments: (piece: { readonly callId: string; readonly name: string; readonly delta: string }) => void
  /**
   * Called as soon as it is known with the id of an answer that the provider goes on with by itself: {@link Model.resume} takes it. Once for each
   * request that the provider took: after `onRetry` another one may follow, which replaces it.
   */
  readonly onResponse: (responseId: string) => void
  /** Called before a failed attempt is repeated; text received so far is void. `attempt` counts from 1, `delayMs` is the wait. */
  readonly onRetry: (retry: { readonly attempt: number; readonly delayMs: number; readonly error: Error }) => void
}

/**
 * Something that answers a conversation. Throws a `PerdureError` (`MODEL_*`, `ABORTED`) when it cannot; what it returns is
 * complete: a cut, empty or unfinished answer is an error, never an answer.
 */
export interface Model {
  (request: ModelRequest, context: ModelCallContext): Promise<ModelAnswer>
  /** Whose API it asks, as OpenTelemetry names it (`gen_ai.provider.name`): `openai`, `anthropic`, … Default: nobody knows. */
  readonly provider?: string | undefined
  /**
   * Fetches an answer that an earlier call had been given the id of, or goes on with its stream. `undefined`: the provider does not know it, or it came to
   * nothing: it has to be asked again.
   */
  readonly resume?:
    | ((responseId: string, request: ModelRequest, context: ModelCallContext) => Promise<ModelAnswer | undefined>)
    | undefined
  /** What these tokens cost, in US dollars; `undefined` when the price is not known. */
  readonly costOf?: ((usage: Usage, model: string) => Promise<number | undefined>) | undefined
}
