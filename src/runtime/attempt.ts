import { z } from 'zod'
import { isSuspension } from '../actors/suspension.ts'
import { isPerdureError, PerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import type { CheckpointReason } from './events.ts'
import { type Branch, createBranch } from './flow-branch.ts'
import { createReceiptBook, type ReceiptBook } from './receipt.ts'
import { toAborted } from './turn.ts'

/** What the checkpoints of one attempt at a flow share, on disk in the head of its run. */
export const FlowHead = z.object({
  inputHash: z.string(),
  /** Number of the newest attempt, from 1. */
  attempt: z.int(),
  /** The newest attempt that ended with an error: errors recorded up to then are tried again, later ones (a crash followed) hold. */
  failedAttempt: z.int(),
  /** The highest generation given out. */
  generation: z.int(),
  /** What was recorded for a lower generation is out of date. */
  minimum: z.int(),
  /** Why it was cancelled. */
  reason: z.string().optional(),
})
export type FlowHead = Readonly<z.output<typeof FlowHead>>

/**
 * Where a checkpoint stands. Generations keep "this checkpoint and those after it execute": one that changed gets a generation above
 * all others, and what is asked for after it has settled must be up to date with that. What ran beside it could not depend on
 * it: it is recorded as up to date with all generations given out when it was asked for, and stays.
 */
export const Standing = z.object({
  /** What is asked for after this checkpoint must be up to date with. */
  generation: z.int(),
  /** The newest generation that this checkpoint is up to date with. */
  upTo: z.int(),
  /** The attempt in which it was last executed. */
  attempt: z.int(),
})
export type Standing = Readonly<z.output<typeof Standing>>

/** Of what belongs to no flow. */
export const NO_STANDING: Standing = { generation: 0, upTo: 0, attempt: 0 }

/** A checkpoint as it was recorded. */
export type Recorded = Standing & { readonly status: 'intended' | 'ok' | 'error' }

export interface Attempt {
  readonly runId: string
  readonly signal: AbortSignal
  readonly book: ReceiptBook
  /** The function of the flow itself. */
  readonly root: Branch
  /** The highest generation given out. */
  newest(): number
  /** What is to be done about a checkpoint that was asked for at `minimum`; `changed`: it is not what was recorded. */
  judge(recorded: Recorded | undefined, minimum: number, changed: boolean): CheckpointReason | 'reuse'
  /** Where a checkpoint stands that executes for `reason`. A new generation is on disk when the promise resolves. */
  place(reason: CheckpointReason, recorded: Recorded | undefined, minimum: number): Promise<Standing>
  /** Errors: `FLOW_ENDED`, `ABORTED`, `RUN_CANCELLED`. */
  assertOpen(what: string): void
  end(): void
}

export function createAttempt(log: RunLog, head: FlowHead, options: { useRecords: boolean; signal: AbortSignal }): Attempt {
  const { useRecords, signal } = options
  let { generation: newest } = head
  let ended = false
  return {
    runId: log.id,
    signal,
    book: createReceiptBook(),
    root: createBranch('', head.minimum),
    newest: () => newest,
    judge(recorded, minimum, changed) {
      if (recorded === undefined) return 'new'
      if (!useRecords) return 'no-cache'
      if (changed) return 'changed'
      if (recorded.upTo < minimum) return 'after-change'
      if (recorded.status === 'intended') return 'resumed'
      const holds = recorded.status === 'ok' || recorded.attempt > head.failedAttempt
      return holds ? 'reuse' : 'retried'
    },
    async place(reason, recorded, minimum) {
      let generation = minimum
      if (reason === 'changed') {
        newest++
        generation = newest
        log.update({ data: { ...head, generation } })
        await log.commit() // before anything stands there: it may not be given out twice
      } else if (recorded !== undefined && (reason === 'resumed' || reason === 'retried')) generation = recorded.generation
      return { generation, upTo: newest, attempt: head.attempt }
    },
    assertOpen(what) {
      if (ended)
        throw new PerdureError(
          'FLOW_ENDED',
          `${what} came after run \`${log.id}\` had ended. Await everything that a flow starts before it returns.`,
          { details: { run: log.id } },
        )
      if (signal.aborted) throw toEnding(log.id, signal)
    },
    end() {
      ended = true
    },
  }
}

/** The error of what a flow asks for after its signal has aborted: that it was cancelled, or what became of its store, says it best. */
export function toEnding(run: string, signal: AbortSignal): PerdureError {
  const { reason } = signal
  const isSaid =
    isPerdureError(reason) && reason.code !== 'STORE_CLOSED' && (reason.code === 'RUN_CANCELLED' || isSuspension(signal))
  return isSaid ? reason : toAborted(`Run \`${run}\``, signal)
}
