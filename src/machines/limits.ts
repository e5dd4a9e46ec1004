import type { ModelAnswer, Spent, Usage } from './conversation.ts'

/** What a turn or a run may use. Left out means: no limit. */
export interface Limits {
  /** Model requests. */
  readonly steps?: number | undefined
  /** Tokens of all model requests, input and output. */
  readonly tokens?: number | undefined
  /** US dollars of all model requests. Of a model whose price is not known nothing can be limited: the turn fails with `PRICE_UNKNOWN`. */
  readonly costUsd?: number | undefined
  /** Milliseconds from its beginning, whatever happens meanwhile: also those of waiting for a person, and those in which no process ran. */
  readonly wallTimeMs?: number | undefined
}

export type LimitScope = 'turn' | 'run'

/** A limit that was reached. */
export interface ReachedLimit {
  readonly limit: keyof Limits
  readonly scope: LimitScope
  readonly max: number
  readonly spent: number
}

export const NOTHING_SPENT: Spent = { steps: 0, tokens: 0, costUsd: 0, unpricedCalls: 0 }

export function addSpent(a: Spent, b: Partial<Spent>): Spent {
  return {
    steps: a.steps + (b.steps ?? 0),
    tokens: a.tokens + (b.tokens ?? 0),
    costUsd: a.costUsd + (b.costUsd ?? 0),
    unpricedCalls: a.unpricedCalls + (b.unpricedCalls ?? 0),
  }
}

/** The more of each. */
export function mostSpent(a: Spent, b: Spent | undefined): Spent {
  if (b === undefined) return a
  const { unpricedCalls } = a // of a call that was lost nothing is known: that is no model without a price
  return {
    steps: Math.max(a.steps, b.steps),
    tokens: Math.max(a.tokens, b.tokens),
    costUsd: Math.max(a.costUsd, b.costUsd),
    unpricedCalls,
  }
}

const toTokens = ({ inputTokens, outputTokens }: Pick<Usage, 'inputTokens' | 'outputTokens'>): number =>
  inputTokens + outputTokens

/** What an answer cost, with the attempts at it that were lost. */
export function toSpent({ usage, costUsd, lost }: ModelAnswer): Partial<Spent> {
  return {
    steps: 1 + (lost?.calls ?? 0),
    tokens: (usage === undefined ? 0 : toTokens(usage)) + (lost?.inputTokens ?? 0),
    costUsd: (costUsd ?? 0) + (lost?.costUsd ?? 0),
    unpricedCalls: costUsd === undefined ? 1 : 0,
  }
}

/** What a call that failed was billed all the same, as its error says. */
export function toLostSpent(details: Readonly<Record<string, unknown>>): Partial<Spent> {
  const { usage, costUsd } = details as { readonly usage?: Partial<Usage>; readonly costUsd?: unknown } // checked below
  if (typeof usage !== 'object' || usage === null) return {}
  const { inputTokens = 0, outputTokens = 0 } = usage
  const isPriced = typeof costUsd === 'number'
  return { tokens: toTokens({ inputTokens, outputTokens }), costUsd: isPriced ? costUsd : 0, unpricedCalls: isPriced ? 0 : 1 }
}

/** The first limit that leaves nothing for another request. Time is not told here: it passes by itself. */
export function findReached(scope: LimitScope, limits: Limits | undefined, spent: Spent): ReachedLimit | undefined {
  for (const limit of ['steps', 'tokens', 'costUsd'] as const) {
    const max = limits?.[limit]
    if (max !== undefined && spent[limit] >= max) return { limit, scope, max, spent: spent[limit] }
  }
  return undefined
}

/** What is left of all limits but time, which passes by itself. `undefined`: there is no limit. */
export type Remaining = Pick<Limits, 'steps' | 'tokens' | 'costUsd'>

/** The least of each that is left. */
export function toRemaining(
  turn: { readonly limits: Limits | undefined; readonly spent: Spent },
  run: { readonly limits: Limits | undefined; readonly spent: Spent },
): Remaining {
  const least = (limit: keyof Remaining): number | undefined => {
    const left = [turn, run].flatMap(({ limits, spent }) => {
      const max = limits?.[limit]
      return max === undefined ? [] : [Math.max(0, max - spent[limit])]
    })
    return left.length === 0 ? undefined : Math.min(...left)
  }
  return { steps: least('steps'), tokens: least('tokens'), costUsd: least('costUsd') }
}

/** What two grants come to together. */
export function addLimits(a: Limits | undefined, b: Limits): Limits {
  const sum = (limit: keyof Limits): number | undefined => {
    const [one, other] = [a?.[limit], b[limit]]
    return one === undefined ? other : one + (other ?? 0)
  }
  return { steps: sum('steps'), tokens: sum('tokens'), costUsd: sum('costUsd'), wallTimeMs: sum('wallTimeMs') }
}

/** The lesser of two limits, each. */
export function leastLimits(a: Limits | undefined, b: Limits | undefined): Limits | undefined {
  if (a === undefined || b === undefined) return a ?? b
  const least = (limit: keyof Limits): number | undefined => {
    const [one, other] = [a[limit], b[limit]]
    return one === undefined || other === undefined ? (one ?? other) : Math.min(one, other)
  }
  return { steps: least('steps'), tokens: least('tokens'), costUsd: least('costUsd'), wallTimeMs: least('wallTimeMs') }
}

/** Limits raised by what a person granted. A limit that there is none of stays none. */
export function raiseLimits(limits: Limits | undefined, by: Limits): Limits {
  const raise = (limit: keyof Limits): number | undefined => {
    const max = limits?.[limit]
    return max === undefined ? undefined : max + (by[limit] ?? 0)
  }
  return { steps: raise('steps'), tokens: raise('tokens'), costUsd: raise('costUsd'), wallTimeMs: raise('wallTimeMs') }
}

const words: Readonly<Record<keyof Limits, string>> = {
  steps: 'model requests',
  tokens: 'tokens',
  costUsd: 'US dollars',
  wallTimeMs: 'milliseconds',
}

/** `the limit of 50,000 tokens for this turn`. */
export const toLimitText = ({ limit, scope, max }: Pick<ReachedLimit, 'limit' | 'scope' | 'max'>): string =>
  `the limit of ${max} ${words[limit]} for this ${scope}`
