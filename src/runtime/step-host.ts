import { isModelProgress } from '../actors/progress.ts'
import type { StepHost, StepOutcome } from '../actors/step.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import { perform } from './effects.ts'
import { toRecordedError, toRecordedOutcome } from './recorded-error.ts'
import type { Services } from './services.ts'
import { type Spend, toLostSpend, toSpend } from './spend.ts'

/**
 * Records the steps of one run in its journal. Keeps P2 (a settled step is answered from the journal), P3 (an effect waits for its
 * intent) and P5 (an outcome is recorded in the same commit as the transition that it causes).
 */
export interface StepObserver {
  /** The checkpoint that the run is in. */
  readonly checkpoint: () => string
  readonly onText: (delta: string) => void
  /** A step that was in flight when an earlier attempt ended is executed again. */
  readonly onRepeat: (kind: string) => void
  /** A call has settled, or an attempt at it was billed in vain. Recorded in the same commit. */
  readonly onSpend: (spend: Spend) => void
  /** Nothing more will be recorded of a step: it has settled, and that is on disk, or it was ended. */
  readonly onOver?: (key: string) => void
  /** The run can no longer be recorded: it must stop. */
  readonly onBroken: (error: unknown) => void
}

export function createStepHost(services: Services, log: RunLog, observer: StepObserver): Pick<StepHost, 'run'> {
  const { emit, now } = services
  return {
    run(step, execute, settle, signal) {
      const call = () => ({ runId: log.id, checkpoint: observer.checkpoint(), key: step.key, kind: step.kind, name: step.name })
      const recorded = log.step(step.key)
      if (recorded?.status === 'ok') {
        emit({ type: 'call.reused', ...call() })
        // The value was recorded by the same actor logic under the same key. Settling inside of `start` would be too early.
        queueMicrotask(() => settle({ status: 'ok', value: recorded.value as never }))
        return
      }
      const { kind, name, data } = step
      const inDoubt = recorded?.status === 'intended'
      const attempt = (recorded?.attempt ?? 0) + 1
      const startedAt = now()
      const intent: StepRecord = { kind, name, status: 'intended', attempt, startedAt, data }
      if (inDoubt) observer.onRepeat(kind)

      const progress = (value: unknown): void => {
        if (signal.aborted || !isModelProgress(value)) return
        if (value.type === 'text') {
          observer.onText(value.delta)
          emit({ type: 'text.received', ...call(), delta: value.delta })
        } else {
          observer.onSpend(toLostSpend(value.error))
          emit({ type: 'call.retried', ...call(), attempt: value.attempt, delayMs: value.delayMs, error: value.error })
        }
      }

      const start = async (): Promise<void> => {
        log.putStep(step.key, intent)
        const durable = log.commit()
        if (step.effect)
          await durable // P3
        else durable.catch(observer.onBroken)
        if (signal.aborted) return
        emit({ type: 'call.started', ...call(), attempt, inDoubt })
        if (signal.aborted) return // a listener may have ended it
        const key = `${log.id}#${step.key}`
        const inside = [...(services.within.getStore() ?? []), log.id]
        const run = () => services.within.run(inside, () => execute({ signal, key, attempt, progress }))
        const outcome = toRecordedOutcome(
          await (step.effect ? services.effects.run(`${key}@${log.head.createdAt}`, signal, run) : perform(run)),
        )
        // Ended on purpose (abort, close): what it did is in doubt, as after a crash.
        if (signal.aborted) return
        const ended: StepRecord = { ...intent, endedAt: now() }
        const spent = toSpend({ ...ended, ...outcome })
        const settled = putOutcome(log, step.key, ended, outcome)
        observer.onSpend(spent)
        const error = settled.status === 'error' ? { error: settled.error } : {}
        emit({ type: 'call.settled', ...call(), status: settled.status, spent, ...error })
        settle(settled) // P5: the transition happens now, before the commit below is cut
        await log.commit()
      }
      start().then(() => observer.onOver?.(step.key), observer.onBroken)
    },
  }
}

/** Records an outcome and returns it; one that cannot be stored becomes that error. */
function putOutcome<T>(log: RunLog, key: string, ended: StepRecord, outcome: StepOutcome<T>): StepOutcome<T> {
  try {
    log.putStep(key, { ...ended, ...outcome })
    return outcome
  } catch (error) {
    if (outcome.status === 'error') throw error
    return putOutcome(log, key, ended, { status: 'error', error: toRecordedError(error) })
  }
}
