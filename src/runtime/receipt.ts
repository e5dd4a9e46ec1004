import type { Receipt } from './events.ts'
import { addSpend, NO_SPEND, type Spend } from './spend.ts'

/** Adds up what one attempt at a run reused and paid. */
export interface ReceiptBook {
  readonly receipt: Receipt
  /** A checkpoint came from the store. */
  reuse(spend: Spend): void
  /** A checkpoint was executed to its end. */
  finish(): void
  add(cost: { readonly reused?: Spend; readonly spent: Spend; readonly repeated?: Receipt['repeated'] }): void
}

export function createReceiptBook(): ReceiptBook {
  let reused = NO_SPEND
  let spent = NO_SPEND
  let repeated: Receipt['repeated'] = { modelCalls: 0, toolCalls: 0 }
  const checkpoints = { reused: 0, spent: 0 }
  return {
    get receipt() {
      return {
        reused: { ...reused, checkpoints: checkpoints.reused },
        spent: { ...spent, checkpoints: checkpoints.spent },
        repeated,
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
      if (cost.repeated === undefined) return
      repeated = {
        modelCalls: repeated.modelCalls + cost.repeated.modelCalls,
        toolCalls: repeated.toolCalls + cost.repeated.toolCalls,
      }
    },
  }
}
