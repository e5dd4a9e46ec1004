import { readOwnSpend } from '../../runtime/run-spend.ts'
import type { Spend } from '../../runtime/spend.ts'
import type { StoreRecords } from './records.ts'

const counted = ['modelCalls', 'toolCalls', 'inputTokens', 'outputTokens', 'costUsd'] as const satisfies readonly (keyof Spend)[]

/**
 * P12: a run has spent what it has without a death. Only calls that were under way at a death may be made again, or no more: no more than `open` calls are too many or too few.
 * Gives sentences.
 */
export function* findUncounted(actual: StoreRecords, expected: StoreRecords, open: number): Iterable<string> {
  for (const [id, { head }] of actual.runs) {
    const other = expected.runs.get(id)
    if (other === undefined) continue
    const [spend, due] = [readOwnSpend(head), readOwnSpend(other.head)]
    const calls = Math.abs(spend.modelCalls - due.modelCalls) + Math.abs(spend.toolCalls - due.toolCalls)
    for (const what of counted) {
      if (Math.abs(spend[what] - due[what]) < 1e-9 || (calls > 0 && calls <= open)) continue
      yield `Run \`${id}\` says that it has spent ${spend[what]} ${what} instead of ${due[what]}.`
    }
  }
}
