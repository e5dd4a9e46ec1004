import type { Spend } from '../../runtime/spend.ts'

const whole = new Intl.NumberFormat('en')
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 })

export const toCount = (count: number): string => whole.format(count)
export const toShortCount = (count: number): string => compact.format(count)
export const countOf = (count: number, one: string, many = `${one}s`): string => `${toCount(count)} ${count === 1 ? one : many}`

export function toCost({ costUsd, unpricedCalls, modelCalls }: Spend): string {
  if (modelCalls === 0 && costUsd === 0) return ''
  if (unpricedCalls > 0 && costUsd === 0) return 'price unknown'
  return `${unpricedCalls > 0 ? '> ' : ''}${toUsd(costUsd)}`
}

export const toUsd = (usd: number): string =>
  usd === 0 ? '$0' : usd < 0.01 ? `$${usd.toPrecision(2)}` : `$${usd.toFixed(usd < 1 ? 3 : 2)}`

export const tokensOf = ({ inputTokens, outputTokens }: Spend): number => inputTokens + outputTokens
