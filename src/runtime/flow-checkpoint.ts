import type { z } from 'zod'
import type { StepOutcome } from '../actors/step.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import type { Attempt, Recorded, Standing } from './attempt.ts'
import type { CheckpointReason } from './events.ts'
import type { Branch, Checkpoint } from './flow-branch.ts'
import { parseRecorded } from './recorded.ts'
import type { Services } from './services.ts'
import { NO_SPEND, type Spend, toSpend } from './spend.ts'

/** A checkpoint that a flow asks for, with what is recorded of it. Its place in the order of asking is taken. */
interface AskedCheckpoint<TData extends Standing> extends Checkpoint {
  readonly kind: string
  readonly branch: Branch
  /** The generation that it must be up to date with: as of when it was asked for, not of when it settles. */
  readonly minimum: number
  readonly record: StepRecord | undefined
  readonly data: TData | undefined
  /** Both, for an {@link Attempt}. */
  readonly recorded: Recorded | undefined
}

/** What the checkpoints in the journal of a flow have in common: steps, sleeps, waits and questions. */
export interface Checkpoints {
  /** Errors: `FLOW_ENDED`, `ABORTED`, `RUN_CANCELLED`, `RUN_CORRUPT`. */
  find<TSchema extends z.ZodType<Standing>>(
    branch: Branch,
    kind: string,
    name: string,
    schema: TSchema,
  ): AskedCheckpoint<z.output<TSchema>>
  /** Returns what is recorded, or throws it. Without the schema's fields, `data` stays as it is. */
  reuse(asked: AskedCheckpoint<Standing>): unknown
  started(asked: AskedCheckpoint<Standing>, reason: CheckpointReason): void
  /** Records how it ended, returns that or throws it. On disk when it does. */
  conclude<T>(
    asked: AskedCheckpoint<Standing>,
    standing: Standing,
    record: StepRecord,
    outcome: StepOutcome<T>,
    spent?: Spend,
  ): Promise<T>
}

export function createCheckpoints(services: Services, log: RunLog, attempt: Attempt): Checkpoints {
  const { emit, now } = services
  const { runId } = attempt
  return {
    find(branch, kind, called, schema) {
      attempt.assertOpen(`The ${kind} \`${called}\``)
      const { key, name } = branch.toCheckpoint(kind, called)
      const minimum = branch.minimum()
      const record = log.step(key)
      const data = record === undefined ? undefined : parseRecorded(schema, record.data, runId, `${kind} \`${name}\``)
      const recorded = record === undefined || data === undefined ? undefined : { ...data, status: record.status }
      return { key, name, kind, branch, minimum, record, data, recorded }
    },
    reuse({ key, name: checkpoint, branch, record, data }) {
      if (record === undefined || data === undefined) throw new TypeError(`Expected \`${key}\` to have been recorded`)
      const upTo = attempt.newest()
      if (data.upTo < upTo) {
        log.putStep(key, { ...record, data: { ...(record.data as object), upTo } }) // parsed by `find`: an object
        log.commit().catch(() => {}) // then it is confirmed again next time
      }
      branch.settle(data)
      const reused = record.kind === 'step' ? toSpend(record) : NO_SPEND // time that passes is not spent
      attempt.book.reuse(reused)
      const event = { type: 'checkpoint.reused', runId, checkpoint, kind: 'step', reused } as const
      if (record.status === 'error') {
        emit({ ...event, error: record.error })
        throw record.error
      }
      emit(event)
      return record.value
    },
    started({ name: checkpoint }, reason) {
      emit({
        type: 'checkpoint.started',
        runId,
        runCreatedAt: log.head.createdAt,
        checkpoint,
        kind: 'step',
        reason,
        changed: [],
        reused: NO_SPEND,
      })
    },
    async conclude({ key, name: checkpoint, branch }, standing, record, outcome, spent = NO_SPEND) {
      const about = { runId, checkpoint, kind: 'step' } as const
      const durationMs = Math.max(0, now() - record.startedAt)
      try {
        log.putStep(key, record)
        await log.commit()
        attempt.book.add({ spent })
        if (outcome.status === 'error') throw outcome.error
        attempt.book.finish()
        emit({ type: 'checkpoint.finished', ...about, spent, reused: NO_SPEND, durationMs })
        return outcome.value
      } catch (error) {
        emit({ type: 'checkpoint.failed', ...about, spent: NO_SPEND, durationMs, error })
        throw error
      } finally {
        branch.settle(standing)
      }
    },
  }
}
