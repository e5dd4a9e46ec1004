import type { Receipt } from './events.ts'
import { addSpend, NO_SPEND, type Spend } from './spend.ts'
import type { ResolvedDoubt } from './step-execution.ts'

/** Adds up what one attempt at a run reused and paid. */
export interface ReceiptBook {
  readonly receipt: Receipt
  /** A checkpoint came from the store. */
  reuse(spend: Spend): void
  /** A checkpoint was executed to its end. */
  finish(): void
  add(cost: { readonly reused?: Spend; readonly spent: Spend; readonly doubts?: Receipt['doubts'] }): void
}

export function createReceiptBook(): ReceiptBook {
  let reused = NO_SPEND
  let spent = NO_SPEND
  const doubts: ResolvedDoubt[] = []
  const checkpoints = { reused: 0, spent: 0 }
  return {
    get receipt() {
      return {
        reused: { ...reused, checkpoints: checkpoints.reused },
        spent: { ...spent, checkpoints: checkpoints.spent },
        repeated: toRepeated(doubts),
        doubts: [...doubts],
      }
    },
    reuse(spend) {
      checkpoints.reused++
      reused = addSpend(reused, spend)
    },
    finish() {
      checkpoints.spent++
    },
    add(cost) {
      spent = addSpend(spent, cost.spent)
      if (cost.reused !== undefined) reused = addSpend(reused, cost.reused)
      doubts.push(...(cost.doubts ?? []))
    },
  }
}

/** Those that were made once more. */
function toRepeated(doubts: readonly ResolvedDoubt[]): Receipt['repeated'] {
  const again = doubts.filter(({ resolution }) => resolution === 'retried')
  const modelCalls = again.filter(({ kind }) => kind === 'model').length
  return { modelCalls, toolCalls: again.length - modelCalls }
}
