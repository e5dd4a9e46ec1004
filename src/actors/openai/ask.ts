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
import { type AttemptPlan, attempt } from './attempt.ts'
import { type BackgroundPlan, followBackground, isGone } from './background.ts'
import { createBackgroundReader } from './background-reader.ts'
import { createChatReader } from './chat-reader.ts'
import { toChatBody } from './chat-request.ts'
import type { OpenAIConfiguration } from './configuration.ts'
import type { Draft } from './draft.ts'
import { AttemptFailure } from './failure.ts'
import { loadPriceList, toCostUsd } from './prices.ts'
import { createResponsesReader } from './responses-reader.ts'
import { toInclude, toResponsesBody } from './responses-request.ts'
import { withRetries } from './retries.ts'
import { toSdkFailure, toWireFailure } from './sdk-error.ts'
import { createScrub, type Scrub, sealed } from './secrets.ts'

/** A service that can be asked. Errors: see `openaiModel`. */
export interface Asking {
  /** Asks, in repeated attempts. */
  readonly ask: (...call: Parameters<Model>) => Promise<ModelAnswer>
  /** Fetches an answer that is made in the background. `undefined`: nothing came of it, and another attempt may do better. */
  readonly resume: NonNullable<Model['resume']>
}

/** Connects to one service. */
export async function openAsking(configuration: OpenAIConfiguration): Promise<Asking> {
  const connection = await connect(configuration)
  const scrub = createScrub(configuration.secrets)
  const { maxRetries, sleep, random } = configuration
  const toPolicy = ({ model }: ModelRequest) => ({ model, maxRetries, sleep, random, scrub })
  return {
    ask: (request, context) => withRetries(() => ask(request, context, configuration, connection), toPolicy(request), context),
    resume: (responseId, request, context) =>
      withRetries(
        () => fetchAnswer(responseId, request, context, configuration, connection, scrub),
        { ...toPolicy(request), maxRetries: 0 },
        context,
      ),
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
  connection: Connection,
): Promise<ModelAnswer> {
  const plan = toPlan(request, context, configuration, connection)
  const { client } = connection
  const { api, background, maxTokensField } = configuration
  if (background) {
    const create = (signal: AbortSignal) => client.responses.create(toResponsesBody(request, true), { signal })
    await followBackground(toBackgroundPlan(plan, request, context, configuration, connection, { create }))
  } else {
    await attempt({
      ...plan,
      send: (signal) =>
        api === 'chat'
          ? client.chat.completions.create(toChatBody(request, maxTokensField), { signal })
          : client.responses.create(toResponsesBody(request), { signal }),
    })
  }
  return toAnswer(plan, request, configuration)
}

/** Fetches what an earlier call asked for. `undefined`: nothing came of it, and another attempt may do better. */
async function fetchAnswer(
  responseId: string,
  request: ModelRequest,
  context: ModelCallContext,
  configuration: OpenAIConfiguration,
  connection: Connection,
  scrub: Scrub,
): Promise<ModelAnswer | undefined> {
  const plan = toPlan(request, context, configuration, connection)
  const background = toBackgroundPlan(plan, request, context, configuration, connection, { responseId })
  try {
    await followBackground(background)
    return await toAnswer(plan, request, configuration)
  } catch (thrown) {
    if (!(thrown instanceof AttemptFailure) || context.signal.aborted) throw thrown
    if (isGone(thrown) && background.reader.progress === 0) return undefined
    if (thrown.retry === 'never' && thrown.error.details.isCancelled !== true) throw thrown
    // What was heard of it is void, and what it cost is told.
    context.onRetry({ attempt: 1, delayMs: 0, error: sealed(thrown.error, scrub) })
    return undefined
  }
}

type Plan = Omit<AttemptPlan, 'send'>

function toPlan(
  request: ModelRequest,
  context: ModelCallContext,
  { api, host, timeoutMs, now }: OpenAIConfiguration,
  { sdk }: Connection,
): Plan {
  const place = { host, model: request.model }
  const createReader = api === 'chat' ? createChatReader : createResponsesReader
  // Loads while the model thinks. Should it fail, `toCostUsd` meets the same failure and deals with it.
  void loadPriceList().catch(() => undefined)
  return {
    reader: createReader(context, (error) => toWireFailure(error, place)),
    toFailure: (error) => toSdkFailure(error, sdk, place, now),
    timeoutMs,
    signal: context.signal,
    place,
  }
}

function toBackgroundPlan(
  plan: Plan,
  { model }: ModelRequest,
  { onResponse }: ModelCallContext,
  configuration: OpenAIConfiguration,
  { client }: Connection,
  from: BackgroundPlan['from'],
): BackgroundPlan {
  const reader = createBackgroundReader(plan.reader, onResponse)
  return { ...plan, reader, client, configuration, include: toInclude(model), from }
}

async function toAnswer(
  { reader, place }: Plan,
  request: ModelRequest,
  configuration: OpenAIConfiguration,
): Promise<ModelAnswer> {
  const draft = reader.draft()
  return settle(draft, await toReceipt(draft, request, configuration), request, place)
}

async function toReceipt(draft: Draft, request: ModelRequest, configuration: OpenAIConfiguration): Promise<Receipt> {
  const model = draft.model ?? request.model
  const { usage, cacheWriteTokens, responseId } = draft
  const costUsd =
    usage === undefined
      ? undefined
      : await toCostUsd({ ...configuration, models: [model, request.model], usage, cacheWriteTokens })
  return { usage, costUsd, model, responseId }
}
