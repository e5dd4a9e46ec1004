import type { Receipt } from '../runtime/events.ts'
import type { Spend } from '../runtime/spend.ts'
import { toCount, toDuration, toMoney } from './quantity.ts'
import { keepTogether } from './text-width.ts'

/** What calls cost, as far as it is known. `undefined` when there was nothing to pay. Never $0 for what has no known price (P12). */
export function toCostText({ modelCalls, costUsd, unpricedCalls }: Spend): string | undefined {
  if (modelCalls === 0) return undefined
  if (unpricedCalls === 0) return toMoney(costUsd)
  if (unpricedCalls >= modelCalls) return 'cost unknown'
  return `${toMoney(costUsd)} + ${toCount(unpricedCalls, 'call')} of unknown price`
}

/** `3 model calls`, `2 tool calls`: those there are. */
export function toCallParts({ modelCalls, toolCalls }: Pick<Spend, 'modelCalls' | 'toolCalls'>): readonly string[] {
  return [
    ...(modelCalls > 0 ? [toCount(modelCalls, 'model call')] : []),
    ...(toolCalls > 0 ? [toCount(toolCalls, 'tool call')] : []),
  ]
}

/** Calls and tokens: the parts of a sentence. Empty when no call was made. */
export function toWorkParts(spend: Spend): readonly string[] {
  const tokens = spend.inputTokens + spend.outputTokens
  return [...toCallParts(spend), ...(spend.modelCalls > 0 ? [tokens > 0 ? toCount(tokens, 'token') : 'tokens unknown'] : [])]
}

/** The same, and what they cost. */
export function toSpendParts(spend: Spend): readonly string[] {
  const cost = toCostText(spend)
  return [...toWorkParts(spend), ...(cost === undefined ? [] : [cost])]
}

/** Parts in one text, to be broken between them only. */
export const toList = (parts: readonly string[], separator: ' · ' | ', '): string => parts.map(keepTogether).join(separator)

/** What was not executed again, and what that saved: `3 model calls · 2,104 tokens · $0.0042 · 12.3 s not paid again`. */
export function toSavedText(reused: Spend, separator: ' · ' | ', '): string {
  const parts = toSpendParts(reused)
  const duration = toDuration(reused.durationMs)
  if (parts.length === 0) return `took ${keepTogether(duration)}, not executed again`
  return `${toList([...parts, duration], separator)} not paid again`
}

/** A line of a receipt: what it is about, and what there is to say. */
export type ReceiptLine = readonly [label: 'reused' | 'spent' | 'repeated' | 'in doubt', text: string]

/** What was done about calls in doubt that were not made again. */
const resolutions = [
  ['recovered', 'found out and not made again'],
  ['reported', 'reported as of unknown outcome'],
  ['answered', 'settled by a person'],
] as const

/** The receipt of an attempt: what it reused, what it spent, what had to be asked twice. */
export function toReceiptLines({ reused, spent, repeated, doubts }: Receipt, durationMs: number): readonly ReceiptLine[] {
  const lines: ReceiptLine[] = []
  const reusedCalls = toCallParts(reused).length > 0
  if (reused.checkpoints > 0) lines.push(['reused', `${toCount(reused.checkpoints, 'checkpoint')}: ${toSavedText(reused, ', ')}`])
  else if (reusedCalls) lines.push(['reused', toSavedText(reused, ', ')])
  const parts = toSpendParts(spent)
  lines.push(['spent', `${parts.length > 0 ? toList(parts, ', ') : 'nothing'} in ${keepTogether(toDuration(durationMs))}`])
  const again = [
    ...(repeated.modelCalls > 0 ? [`${toCount(repeated.modelCalls, 'model call')} asked twice`] : []),
    ...(repeated.toolCalls > 0 ? [`${toCount(repeated.toolCalls, 'tool call')} executed twice`] : []),
  ]
  if (again.length > 0) lines.push(['repeated', `${again.join(', ')}, because an earlier attempt did not finish`])
  const resolved = resolutions.flatMap(([resolution, text]) => {
    const count = doubts.filter((doubt) => doubt.resolution === resolution).length
    return count > 0 ? [`${toCount(count, 'call')} ${text}`] : []
  })
  if (resolved.length > 0) lines.push(['in doubt', resolved.join(', ')])
  return lines
}
