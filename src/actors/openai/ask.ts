/**
 * How a model is asked through the `openai` SDK. It keeps these:
 *
 * - Complete or an error: an answer without its finish is never returned, so it is never checkpointed.
 * - The API key is in no error (P11): all of them pass through `sealed`.
 */
import type OpenAI from 'openai'
import type { ModelAnswer } from '../../machines/conversation.ts'
import type { Model, ModelCallContext, ModelRequest } from '../model.ts'
import { type Receipt, settle } from './answer.ts'
import { attempt } from './attempt.ts'
import { createChatReader } from './chat-reader.ts'
import { toChatBody } from './chat-request.ts'
import type { OpenAIConfiguration } from './configuration.ts'
import type { Draft } from './draft.ts'
import { loadPriceList, toCostUsd } from './prices.ts'
import { createResponsesReader } from './responses-reader.ts'
import { toResponsesBody } from './responses-request.ts'
import { withRetries } from './retries.ts'
import { toSdkFailure, toWireFailure } from './sdk-error.ts'
import { createScrub } from './secrets.ts'

/** What asks one service, in repeated attempts. Errors: see `openaiModel`. */
export async function openAsking(configuration: OpenAIConfiguration): Promise<Model> {
  const connection = await connect(configuration)
  const scrub = createScrub(configuration.secrets)
  const { maxRetries, sleep, random } = configuration
  return (request, context) => {
    const policy = { model: request.model, maxRetries, sleep, random, scrub }
    return withRetries(() => ask(request, context, configuration, connection), policy, context)
  }
}

interface Connection {
  readonly sdk: typeof import('openai')
  readonly client: OpenAI
}

async function connect(configuration: OpenAIConfiguration): Promise<Connection> {
  const { apiKey, baseUrl, timeoutMs, fetch } = configuration
  const sdk = await import('openai')
  const client = new sdk.OpenAI({
    apiKey,
    adminAPIKey: null,
    webhookSecret: null,
    baseURL: baseUrl,
    timeout: timeoutMs,
    maxRetries: 0,
    // Its log holds bodies and headers.
    logLevel: 'off',
    ...(fetch === undefined ? {} : { fetch }),
  })
  return { sdk, client }
}

async function ask(
  request: ModelRequest,
  context: ModelCallContext,
  configuration: OpenAIConfiguration,
  { sdk, client }: Connection,
): Promise<ModelAnswer> {
  const place = { host: configuration.host, model: request.model }
  const createReader = configuration.api === 'chat' ? createChatReader : createResponsesReader
  const reader = createReader(context.onText, (error) => toWireFailure(error, place))
  // Loads while the model thinks. Should it fail, `toCostUsd` meets the same failure and deals with it.
  void loadPriceList().catch(() => undefined)
  await attempt({
    send: (signal) =>
      configuration.api === 'chat'
        ? client.chat.completions.create(toChatBody(request, configuration.maxTokensField), { signal })
        : client.responses.create(toResponsesBody(request), { signal }),
    reader,
    toFailure: (error) => toSdkFailure(error, sdk, place, configuration.now),
    timeoutMs: configuration.timeoutMs,
    signal: context.signal,
    place,
  })
  const draft = reader.draft()
  return settle(draft, await toReceipt(draft, request, configuration), request, place)
}

async function toReceipt(draft: Draft, request: ModelRequest, configuration: OpenAIConfiguration): Promise<Receipt> {
  const model = draft.model ?? request.model
  const { usage, cacheWriteTokens, responseId } = draft
  const { baseUrl, isOpenai, prices } = configuration
  const costUsd =
    usage === undefined
      ? undefined
      : await toCostUsd({ models: [model, request.model], usage, cacheWriteTokens, baseUrl, isOpenai, prices })
  return { usage, costUsd, model, responseId }
}
