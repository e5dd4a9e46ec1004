import { PerdureError } from '../errors.ts'
import type { Message, Usage } from '../machines/conversation.ts'
import { type Limits, toLimitText } from '../machines/limits.ts'
import type { Model, ModelRequest } from './model.ts'

/** How many characters of an answer arrive before its cost is worked out again. */
const COST_EVERY = 200

/** Watches what an answer uses while it streams, by estimate: a token for every four characters. */
export interface SpendWatch {
  /** More of the answer has arrived. */
  add(text: string): void
  /** The answer begins anew: what arrived is billed all the same. */
  restart(): void
  /** The limit that was reached, with the estimate of what was used. */
  readonly reached: PerdureError | undefined
  /** The same, with what it cost as far as that is known: nobody waits for a price while an answer streams. */
  toError(): Promise<PerdureError | undefined>
}

/** Calls `onReached` once, as soon as the answer uses more than what is left. */
export function watchSpend(
  remaining: Pick<Limits, 'tokens' | 'costUsd'> | undefined,
  request: ModelRequest,
  model: Model,
  onReached: () => void,
): SpendWatch {
  if (remaining === undefined || (remaining.tokens === undefined && remaining.costUsd === undefined))
    return { add() {}, restart() {}, reached: undefined, toError: async () => undefined }
  const input = estimateInputTokens(request)
  let requests = 1
  let characters = 0
  let pricedAt = 0
  let reached: PerdureError | undefined

  const toUsage = (): Usage => ({
    inputTokens: input * requests,
    outputTokens: Math.ceil(characters / 4),
    cachedInputTokens: 0,
    reasoningTokens: 0,
  })
  const reach = (limit: 'tokens' | 'costUsd', max: number, spent: number, costUsd: number | undefined): void => {
    if (reached !== undefined) return
    const about = { limit, scope: 'turn', max } as const
    reached = new PerdureError('LIMIT_REACHED', `An answer came to ${toLimitText(about)} while it streamed.`, {
      details: { ...about, spent, usage: toUsage(), costUsd, isEstimate: true },
    })
    onReached()
  }
  const toCost = async (): Promise<number | undefined> => model.costOf?.(toUsage(), request.model)
  const price = async (max: number): Promise<void> => {
    const costUsd = await toCost()
    if (costUsd !== undefined && costUsd > max) reach('costUsd', max, costUsd, costUsd)
  }
  const check = (): void => {
    const { inputTokens, outputTokens } = toUsage()
    const { tokens, costUsd } = remaining
    if (tokens !== undefined && inputTokens + outputTokens > tokens)
      reach('tokens', tokens, inputTokens + outputTokens, undefined)
    if (costUsd === undefined || characters < pricedAt) return
    pricedAt = characters + COST_EVERY
    void price(costUsd).catch(() => {}) // a price that cannot be told is found when the answer is complete
  }
  return {
    add({ length }) {
      characters += length
      check()
    },
    restart() {
      requests++
    },
    get reached() {
      return reached
    },
    async toError() {
      if (reached === undefined || reached.details.costUsd !== undefined) return reached
      const costUsd = await toCost().catch(() => undefined)
      return new PerdureError('LIMIT_REACHED', reached.message, { details: { ...reached.details, costUsd } })
    },
  }
}

/** What a request has at least, by estimate: a token for every four characters. */
export function estimateInputTokens({ systemPrompt, tools, messages }: ModelRequest): number {
  let characters = systemPrompt.length
  for (const { name, description, parameters } of tools)
    characters += name.length + description.length + JSON.stringify(parameters).length
  for (const message of messages) characters += toLength(message)
  return Math.ceil(characters / 4)
}

function toLength(message: Message): number {
  if (message.role !== 'assistant') return message.content.length
  return message.toolCalls.reduce((sum, call) => sum + call.name.length + call.arguments.length, message.content.length)
}
