/**
 * The model actor's effect on the `openai` SDK. What asks is loaded at the first call, and the SDK with it: importing this
 * module costs next to nothing.
 */
import type { Model } from '../model.ts'
import { type OpenAIModelOptions, toConfiguration } from './configuration.ts'

export type { OpenAIModelOptions } from './configuration.ts'
export type { ModelPrice } from './prices.ts'

/**
 * A model behind the OpenAI API or a compatible server, by the Responses API or Chat Completions. It always streams, keeps
 * nothing at the provider, repeats what may succeed and names what will not.
 *
 * Errors now: `MODEL_NOT_CONFIGURED`. Errors of a call: `MODEL_UNAUTHORIZED`, `MODEL_NOT_FOUND`, `MODEL_QUOTA`,
 * `MODEL_CONTEXT_TOO_LONG`, `MODEL_BAD_REQUEST`, `MODEL_CUT_OFF`, `MODEL_REFUSED` at once; `MODEL_UNAVAILABLE` after all
 * retries, `MODEL_BAD_ANSWER` after two; `ABORTED`. The `details` of an error whose attempt was paid for hold its `usage`
 * and `costUsd`.
 *
 * @example
 * ```ts
 * const model = openaiModel({ prices: { 'my-model': { inputPerMillionUsd: 1, outputPerMillionUsd: 4 } } })
 * ```
 */
export function openaiModel(options: OpenAIModelOptions = {}): Model {
  const configuration = toConfiguration(options)
  let opening: Promise<Model> | undefined
  return async (request, context) => {
    opening ??= import('./ask.ts').then(({ openAsking }) => openAsking(configuration))
    const ask = await opening
    return ask(request, context)
  }
}
