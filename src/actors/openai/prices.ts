import type { Usage } from '../../machines/conversation.ts'

/** What one model costs, in US dollars for a million tokens. */
export interface ModelPrice {
  readonly inputPerMillionUsd: number
  /** Default: the price of other input. */
  readonly cachedInputPerMillionUsd?: number | undefined
  readonly outputPerMillionUsd: number
}

/** What is priced. */
export interface PricedCall {
  /** Names of the model, the more exact first: as it answered, as it was asked for. */
  readonly models: readonly string[]
  readonly usage: Usage
  /** Input that was written into the provider's cache: some models charge more for it. */
  readonly cacheWriteTokens: number
  readonly baseUrl: string
  readonly isOpenai: boolean
  readonly prices: Readonly<Record<string, ModelPrice>>
}

/** The price list, loaded when it is first asked for. Call early: it loads while the model thinks. */
export function loadPriceList(): Promise<typeof import('@pydantic/genai-prices')> {
  return import('@pydantic/genai-prices')
}

/**
 * The cost of a call in US dollars. Own prices go first; else the list of `@pydantic/genai-prices`: that of the provider at
 * the base URL where it is known, else OpenAI's. `undefined` when no list has the model or the usage contradicts itself:
 * an answer that has been paid for never fails for its price.
 */
export async function toCostUsd(call: PricedCall): Promise<number | undefined> {
  const { usage } = call
  const own = [...call.models].reverse().find((name) => Object.hasOwn(call.prices, name))
  const price = own === undefined ? undefined : call.prices[own]
  if (price !== undefined) {
    const cached = usage.cachedInputTokens * (price.cachedInputPerMillionUsd ?? price.inputPerMillionUsd)
    const fresh = (usage.inputTokens - usage.cachedInputTokens) * price.inputPerMillionUsd
    return (cached + fresh + usage.outputTokens * price.outputPerMillionUsd) / 1_000_000
  }
  const tokens = {
    input_tokens: usage.inputTokens,
    cache_read_tokens: usage.cachedInputTokens,
    cache_write_tokens: call.cacheWriteTokens,
    output_tokens: usage.outputTokens,
  }
  const providers = call.isOpenai ? [{ providerId: 'openai' }] : [{ providerApiUrl: call.baseUrl }, { providerId: 'openai' }]
  try {
    const { calcPrice } = await loadPriceList()
    for (const provider of providers) {
      for (const model of call.models) {
        const found = calcPrice(tokens, model, provider)
        if (found !== null) return found.total_price
      }
    }
  } catch {
    return undefined
  }
  return undefined
}
