import { setTimeout as delay } from 'node:timers/promises'
import { PerdureError } from '../../errors.ts'
import type { ModelPrice } from './prices.ts'

/** How {@link openaiModel} reaches a model. */
export interface OpenAIModelOptions {
  /** Default: the environment's `OPENAI_API_KEY`. A server at a `baseUrl` of its own may need none. */
  readonly apiKey?: string | undefined
  /** Where the API lives, usually ending in `/v1`. Default: the environment's `OPENAI_BASE_URL`, else OpenAI. */
  readonly baseUrl?: string | undefined
  /**
   * Which API to speak. Default: `responses` at OpenAI, where it hands reasoning back between calls; `chat` (Chat
   * Completions) at any other base URL, as most compatible servers speak nothing else.
   */
  readonly api?: 'responses' | 'chat' | undefined
  /**
   * Whether the provider makes answers in the background (only with `api: 'responses'`): an answer goes on when the connection breaks or the process dies,
   * and is fetched by its id, not paid for again. The provider keeps each answer for some minutes. Default false.
   */
  readonly background?: boolean | undefined
  /**
   * The longest silence in milliseconds: until the answer begins, and between two of its pieces. Default 300,000, which is
   * also where Node's own fetch gives up: to wait longer, hand in a `fetch` that does.
   */
  readonly timeoutMs?: number | undefined
  /** How often a failed attempt is repeated. Default 5. */
  readonly maxRetries?: number | undefined
  /** Prices by model name; they go before the known ones. */
  readonly prices?: Readonly<Record<string, ModelPrice>> | undefined
  /**
   * How Chat Completions names `maxOutputTokens`. Default: `max_completion_tokens` at OpenAI, `max_tokens` elsewhere, as
   * many compatible servers silently ignore the new name.
   */
  readonly maxTokensField?: 'max_completion_tokens' | 'max_tokens' | undefined
  /** What sends the requests. Default: the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** For tests: waits before a retry; rejects when the signal aborts. */
  readonly sleep?: ((delayMs: number, signal: AbortSignal) => Promise<unknown>) | undefined
  /** For tests: a number from 0 to 1 that spreads the waits. */
  readonly random?: (() => number) | undefined
  /** For tests: the time in epoch milliseconds, to read a `Retry-After` date. */
  readonly now?: (() => number) | undefined
}

/** The options with everything decided. */
export interface OpenAIConfiguration {
  readonly apiKey: string
  readonly baseUrl: string
  readonly host: string
  readonly isOpenai: boolean
  readonly api: 'responses' | 'chat'
  readonly background: boolean
  readonly timeoutMs: number
  readonly maxRetries: number
  readonly prices: Readonly<Record<string, ModelPrice>>
  readonly maxTokensField: 'max_completion_tokens' | 'max_tokens'
  readonly fetch: typeof globalThis.fetch | undefined
  readonly sleep: (delayMs: number, signal: AbortSignal) => Promise<unknown>
  readonly random: () => number
  readonly now: () => number
  /** What must never be seen in an error. */
  readonly secrets: readonly string[]
}

const openaiUrl = 'https://api.openai.com/v1'
/** Sent to servers that ask for no key: the SDK insists on one. */
const placeholderKey = 'no-key'
/** What a timer can hold. */
const maxTimeoutMs = 2 ** 31 - 1

/**
 * Decides every option, from the environment where an option is left out.
 *
 * Errors: `MODEL_NOT_CONFIGURED` when neither a key nor a base URL is known or one cannot be used; a `TypeError` for a wrong
 * number, and for `background` without the Responses API.
 */
export function toConfiguration(
  options: OpenAIModelOptions,
  env: Readonly<Record<string, string | undefined>> = process.env,
): OpenAIConfiguration {
  const givenKey = trimmed(options.apiKey) ?? trimmed(env.OPENAI_API_KEY)
  const givenUrl = trimmed(options.baseUrl) ?? trimmed(env.OPENAI_BASE_URL)
  if (givenKey === undefined && givenUrl === undefined) {
    throw notConfigured(
      'No model is configured: set OPENAI_API_KEY (or the option `apiKey`), or OPENAI_BASE_URL (or `baseUrl`) for a server of your own.',
    )
  }
  if (givenKey !== undefined && !/^[\x21-\x7e]+$/.test(givenKey)) {
    throw notConfigured('The API key holds a space, line break or non-ASCII character. Copy the key again into OPENAI_API_KEY.')
  }
  const url = toUrl(givenUrl ?? openaiUrl)
  const isOpenai = url.hostname === 'api.openai.com' || url.hostname.endsWith('.api.openai.com')
  if (isOpenai && givenKey === undefined) {
    throw notConfigured(
      `The base URL is OpenAI's (${url.host}) and there is no key: set OPENAI_API_KEY or the option \`apiKey\`.`,
    )
  }
  const api = options.api ?? (isOpenai ? 'responses' : 'chat')
  return {
    apiKey: givenKey ?? placeholderKey,
    baseUrl: url.href,
    host: url.host,
    isOpenai,
    api,
    background: checkBackground(options.background ?? false, api),
    timeoutMs: checkInteger('timeoutMs', options.timeoutMs ?? 300_000, 1, maxTimeoutMs),
    maxRetries: checkInteger('maxRetries', options.maxRetries ?? 5, 0, 1000),
    prices: options.prices ?? {},
    maxTokensField: options.maxTokensField ?? (isOpenai ? 'max_completion_tokens' : 'max_tokens'),
    fetch: options.fetch,
    sleep: options.sleep ?? ((delayMs, signal) => delay(delayMs, undefined, { signal })),
    random: options.random ?? Math.random,
    now: options.now ?? Date.now,
    secrets: [...(givenKey === undefined ? [] : [givenKey]), ...toQuerySecrets(url)],
  }
}

function toUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw notConfigured(
      'The base URL is no http(s) URL. Set OPENAI_BASE_URL (or `baseUrl`) to one, like https://api.openai.com/v1.',
    )
  }
  if (url.username !== '' || url.password !== '') {
    throw notConfigured('The base URL holds a user name or password, which fetch refuses. Move it into `apiKey`.')
  }
  return url
}

/** Some gateways take their key in the query. */
function toQuerySecrets(url: URL): string[] {
  return [...url.searchParams].filter(([name]) => /key|token|secret|sig/i.test(name)).map(([, value]) => value)
}

function trimmed(text: string | undefined): string | undefined {
  const rest = text?.trim()
  return rest === '' ? undefined : rest
}

function checkInteger(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new TypeError(`Expected \`${name}\` to be an integer from ${min} to ${max}, got \`${value}\` (${typeof value})`)
}

function checkBackground(background: boolean, api: 'responses' | 'chat'): boolean {
  if (!background || api === 'responses') return background
  throw new TypeError(
    `Expected \`api\` to be 'responses' with \`background: true\`, got '${api}': only the Responses API answers in the background`,
  )
}

function notConfigured(message: string): PerdureError {
  return new PerdureError('MODEL_NOT_CONFIGURED', message)
}
