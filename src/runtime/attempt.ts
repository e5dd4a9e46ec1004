import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { createReceiptBook, type ReceiptBook } from './receipt.ts'
import { toAborted } from './turn.ts'

/**
 * What the checkpoints of one attempt at a flow share.
 *
 * Generations keep "this checkpoint and those after it execute": a checkpoint that executes because it changed gets a generation
 * above all others, and a record is out of date when a checkpoint of a higher generation had settled before it was requested.
 * What ran beside the changed one could not depend on it and stays.
 */
export const FlowHead = z.object({
  inputHash: z.string(),
  /** Number of the newest attempt, from 1. */
  attempt: z.int(),
  /** The newest attempt that ended with an error: errors recorded up to then are tried again, later ones (a crash followed) hold. */
  failedAttempt: z.int(),
  /** The highest generation given out. */
  generation: z.int(),
  /** Records of a lower generation are out of date. */
  minimum: z.int(),
})
export type FlowHead = Readonly<z.output<typeof FlowHead>>

export interface Attempt {
  readonly runId: string
  readonly number: number
  /** `false`: nothing is returned from the store. */
  readonly useRecords: boolean
  readonly signal: AbortSignal
  readonly book: ReceiptBook
  /** The generation that a checkpoint requested now must have at least. */
  minimum(): number
  /** A checkpoint of that generation has settled. */
  settle(generation: number): void
  /** A generation above all before; on disk with the next commit. */
  newGeneration(): number
  /** Whether an error that was recorded in attempt `attempt` is the truth; else the checkpoint is tried again. */
  holds(attempt: number): boolean
  /** Errors: `FLOW_ENDED`, `ABORTED`. */
  assertOpen(what: string): void
  end(): void
}

export function createAttempt(log: RunLog, head: FlowHead, options: { useRecords: boolean; signal: AbortSignal }): Attempt {
  const { useRecords, signal } = options
  const lastFailed = head.failedAttempt
  let generation = head.generation
  let minimum = head.minimum
  let ended = false
  return {
    runId: log.id,
    number: head.attempt,
    useRecords,
    signal,
    book: createReceiptBook(),
    minimum: () => minimum,
    settle(settled) {
      minimum = Math.max(minimum, settled)
    },
    newGeneration() {
      generation++
      log.update({ data: { ...head, generation } })
      return generation
    },
    holds: (attempt) => attempt > lastFailed,
    assertOpen(what) {
      if (ended)
        throw new PerdureError(
          'FLOW_ENDED',
          `${what} was asked for after run \`${log.id}\` had ended. Await everything that a flow starts before it returns.`,
          { details: { run: log.id } },
        )
      if (signal.aborted) throw toAborted(`Run \`${log.id}\``, signal)
    },
    end() {
      ended = true
    },
  }
}
