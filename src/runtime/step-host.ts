import { isModelProgress } from '../actors/progress.ts'
import type { StepHost } from '../actors/step.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import { toRecordedError } from './recorded-error.ts'
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
  readonly onSettled: (record: StepRecord) => void
  /** An attempt failed and was billed; the call goes on with another. */
  readonly onLost: (spend: Spend) => void
  /** The run can no longer be recorded: it must stop. */
  readonly onBroken: (error: unknown) => void
}

export function createStepHost(services: Services, log: RunLog, observer: StepObserver): StepHost {
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
          observer.onLost(toLostSpend(value.error))
          emit({ type: 'call.retried', ...call(), attempt: value.attempt, delayMs: value.delayMs, error: value.error })
        }
      }

      const perform = async (): Promise<void> => {
        log.putStep(step.key, intent)
        const durable = log.commit()
        if (step.effect)
          await durable // P3
        else durable.catch(observer.onBroken)
        if (signal.aborted) return
        emit({ type: 'call.started', ...call(), attempt, inDoubt })
        const outcome = await execute({ signal, key: `${log.id}#${step.key}`, attempt, progress }).then(
          (value) => ({ status: 'ok', value }) as const,
          (error: unknown) => ({ status: 'error', error: toRecordedError(error) }) as const,
        )
        // Ended on purpose (abort, close): what it did is in doubt, as after a crash.
        if (signal.aborted) return
        const record: StepRecord = { ...intent, endedAt: now(), ...outcome }
        log.putStep(step.key, record)
        observer.onSettled(record)
        const error = outcome.status === 'error' ? { error: outcome.error } : {}
        emit({ type: 'call.settled', ...call(), status: outcome.status, spent: toSpend(record), ...error })
        settle(outcome) // P5: the transition happens now, before the commit below is cut
        await log.commit()
      }
      perform().catch(observer.onBroken)
    },
  }
}
