import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import { type Attempt, Standing } from './attempt.ts'
import type { FlowContext, StepFunctionContext } from './flow.ts'
import { parseRecorded } from './recorded.ts'
import { toRecordedOutcome } from './recorded-error.ts'
import type { Services } from './services.ts'
import { NO_SPEND, toSpend } from './spend.ts'
import { toCheckpointName } from './turn.ts'

/** The steps of one attempt at a flow: see {@link FlowContext.step}. */
export function createFlowSteps(services: Services, log: RunLog, attempt: Attempt): FlowContext['step'] {
  const { emit, now } = services
  const { runId } = attempt
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

  const reuse = (key: string, record: StepRecord, standing: Standing): unknown => {
    const upTo = attempt.newest()
    if (standing.upTo < upTo) {
      log.putStep(key, { ...record, data: { ...standing, upTo } })
      log.commit().catch(() => {}) // then it is confirmed again next time
    }
    attempt.settle(standing)
    const reused = toSpend(record)
    attempt.book.reuse(reused)
    const event = { type: 'checkpoint.reused', runId, checkpoint: record.name, kind: 'step', reused } as const
    if (record.status === 'error') {
      emit({ ...event, error: record.error })
      throw record.error
    }
    emit(event)
    return record.value
  }

  return async <T>(name: string, fn: (context: StepFunctionContext) => T | Promise<T>): Promise<T> => {
    if (typeof name !== 'string' || name === '' || !name.isWellFormed())
      throw new TypeError(`Expected \`name\` of a step to be a non-empty string, got \`${String(name)}\` (${typeof name})`)
    if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` of step \`${name}\` to be a function, got ${typeof fn}`)
    attempt.assertOpen(`Step \`${name}\``)
    const checkpoint = toName(name)
    const key = `step/${checkpoint}`
    const minimum = attempt.minimum()
    const record = log.step(key)
    const data = record === undefined ? undefined : parseRecorded(Standing, record.data, runId, `step \`${checkpoint}\``)
    const recorded = record === undefined || data === undefined ? undefined : { ...data, status: record.status }
    const reason = attempt.judge(recorded, minimum, false)
    // Only what was recorded is reused, and the value is what `fn` had returned under this name.
    if (reason === 'reuse') return reuse(key, record as StepRecord, data as Standing) as T

    const tries = (record?.attempt ?? 0) + 1
    const startedAt = now()
    const standing = await attempt.place(reason, recorded, minimum)
    const base = { kind: 'step', name: checkpoint, attempt: tries, startedAt, data: standing } as const
    log.putStep(key, { ...base, status: 'intended' })
    await log.commit() // P3
    attempt.assertOpen(`Step \`${checkpoint}\``)
    const about = { runId, checkpoint, kind: 'step' } as const
    emit({ type: 'checkpoint.started', ...about, reason, changed: [], reused: NO_SPEND })
    const { signal } = attempt
    const effect = `${runId}#${key}`
    const outcome = await services.effects.run(effect, signal, () => fn({ key: effect, attempt: tries, signal }))
    // What comes to its end after the run is in doubt, as after a crash. So is an outcome that cannot be recorded.
    attempt.assertOpen(`The end of step \`${checkpoint}\``)
    try {
      const settled: StepRecord = { ...base, ...toRecordedOutcome(outcome), endedAt: now() }
      log.putStep(key, settled)
      await log.commit()
      const spent = toSpend(settled)
      attempt.book.add({ spent })
      if (outcome.status === 'error') throw outcome.error
      attempt.book.finish()
      emit({ type: 'checkpoint.finished', ...about, spent, reused: NO_SPEND, durationMs: spent.durationMs })
      return outcome.value
    } catch (error) {
      emit({ type: 'checkpoint.failed', ...about, spent: NO_SPEND, durationMs: now() - startedAt, error })
      throw error
    } finally {
      attempt.settle(standing)
    }
  }
}
