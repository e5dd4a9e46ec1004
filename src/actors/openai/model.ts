/**
 * The model actor's effect on the `openai` SDK. What asks is loaded at the first call, and the SDK with it: importing this
 * module costs next to nothing.
 */
import type { Model } from '../model.ts'
import type { Asking } from './ask.ts'
import { type OpenAIModelOptions, toConfiguration } from './configuration.ts'
import { toCostUsd } from './prices.ts'

export type { OpenAIModelOptions } from './configuration.ts'
export type { ModelPrice } from './prices.ts'

/**
 * A model behind the OpenAI API or a compatible server, by the Responses API or Chat Completions. It always streams, repeats
 * what may succeed and names what will not. It keeps nothing at the provider, unless `background` is set: then an answer that the provider has begun is
 * fetched after a broken connection, and by `resume` after a crash.
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
  let opening: Promise<Asking> | undefined
  const open = (): Promise<Asking> => {
    opening ??= import('./ask.ts').then(({ openAsking }) => openAsking(configuration))
    return opening
  }
  const model: Model = async (...call) => (await open()).ask(...call)
  const resume: Model['resume'] = async (...call) => (await open()).resume(...call)
  const costOf: Model['costOf'] = (usage, name) => toCostUsd({ ...configuration, models: [name], usage, cacheWriteTokens: 0 })
  return Object.assign(model, { provider: 'openai', costOf }, configuration.background ? { resume } : {})
}
