import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import type { Attempt } from './attempt.ts'
import type { CheckpointReason } from './events.ts'
import type { FlowContext } from './flow.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'
import { NO_SPEND, type Spend, toSpend } from './spend.ts'
import { toAborted, toCheckpointName } from './turn.ts'

const Data = z.object({ generation: z.int(), attempt: z.int() })

/** The steps of one attempt at a flow: see {@link FlowContext.step}. */
export function createFlowSteps(services: Services, log: RunLog, attempt: Attempt): FlowContext['step'] {
  const { emit, now } = services
  const asked = new Map<string, number>()
  const taken = new Set<string>()

  /** `name`, then `name_2`, …; what the flow itself calls `name_2` comes after. */
  const toName = (name: string): string => {
    let count = asked.get(name) ?? 0
    let candidate: string
    do {
      count++
      candidate = toCheckpointName(name, count)
    } while (taken.has(candidate))
    asked.set(name, count)
    taken.add(candidate)
    return candidate
  }

  const decide = (record: StepRecord | undefined, minimum: number): CheckpointReason | 'reuse' => {
    if (record === undefined) return 'new'
    if (!attempt.useRecords) return 'no-cache'
    const data = Data.parse(record.data)
    if (data.generation < minimum) return 'after-change'
    if (record.status === 'intended') return 'resumed'
    return record.status === 'ok' || attempt.holds(data.attempt) ? 'reuse' : 'retried'
  }

  return async <T>(
    name: string,
    fn: (context: { key: string; attempt: number; signal: AbortSignal }) => T | Promise<T>,
  ): Promise<T> => {
    if (typeof name !== 'string' || name === '' || !name.isWellFormed())
      throw new TypeError(`Expected \`name\` of a step to be a non-empty string, got \`${String(name)}\` (${typeof name})`)
    if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` of step \`${name}\` to be a function, got ${typeof fn}`)
    attempt.assertOpen(`Step \`${name}\``)
    const checkpoint = toName(name)
    const key = `step/${checkpoint}`
    const minimum = attempt.minimum()
    const recorded = log.step(key)
    const reason = decide(recorded, minimum)
    const base = { runId: attempt.runId, checkpoint, kind: 'step' } as const

    if (recorded !== undefined && reason === 'reuse') {
      attempt.settle(Data.parse(recorded.data).generation)
      const reused: Spend = toSpend(recorded)
      attempt.book.reuse(reused)
      emit({ type: 'checkpoint.reused', ...base, reused, ...(recorded.status === 'error' ? { error: recorded.error } : {}) })
      if (recorded.status === 'error') throw recorded.error
      return recorded.value as T // what `fn` had returned under this name
    }

    const tries = (recorded?.attempt ?? 0) + 1
    const startedAt = now()
    const data = {
      generation: reason === 'resumed' || reason === 'retried' ? Data.parse(recorded?.data).generation : minimum,
      attempt: attempt.number,
    }
    const intent: StepRecord = { kind: 'step', name: checkpoint, status: 'intended', attempt: tries, startedAt, data }
    log.putStep(key, intent)
    await log.commit() // P3
    attempt.assertOpen(`Step \`${name}\``)
    emit({ type: 'checkpoint.started', ...base, reason: reason as CheckpointReason, changed: [], reused: NO_SPEND }) // `reuse` has returned
    const settle = async (outcome: { status: 'ok'; value: T } | { status: 'error'; error: Error }): Promise<StepRecord> => {
      if (attempt.signal.aborted) throw toAborted(`Step \`${checkpoint}\` of run \`${attempt.runId}\``, attempt.signal)
      const record: StepRecord = { ...intent, endedAt: now(), ...outcome }
      log.putStep(key, record)
      await log.commit()
      attempt.settle(data.generation)
      return record
    }
    try {
      const value = await fn({ key: `${attempt.runId}#${key}`, attempt: tries, signal: attempt.signal })
      const spent = toSpend(await settle({ status: 'ok', value }))
      attempt.book.add({ spent })
      attempt.book.finish()
      emit({ type: 'checkpoint.finished', ...base, spent, reused: NO_SPEND, durationMs: spent.durationMs })
      return value
    } catch (error) {
      const open = log.step(key)?.status === 'intended'
      // An outcome that cannot be recorded leaves the step in doubt; what `fn` threw is recorded.
      if (open && !isStoreError(error)) await settle({ status: 'error', error: toRecordedError(error) })
      emit({ type: 'checkpoint.failed', ...base, spent: NO_SPEND, durationMs: now() - startedAt, error })
      throw error
    }
  }
}

const isStoreError = (error: unknown): boolean =>
  error instanceof PerdureError &&
  (error.code.startsWith('STORE_') || error.code === 'VALUE_NOT_STORABLE' || error.code === 'ABORTED')
