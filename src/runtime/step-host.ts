import { setTimeout as delay } from 'node:timers/promises'
import type { StepDescription, StepHost } from '../actors/step.ts'
import type { PerdureError } from '../errors.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import type { Services } from './services.ts'
import { executeStep, type StepObserver, type StepRun } from './step-execution.ts'
import { toAborted } from './turn.ts'

/** Records the steps of one run in its journal. Keeps P2: a settled step is answered from the journal. What is left of it is executed: see {@link executeStep}. */
export interface RunStepHost extends Pick<StepHost, 'run' | 'ask'> {
  /** What aborts from now on is only this process: what is in flight stays in doubt, or goes on without us. */
  suspend(reason: PerdureError): void
  /** Resolves when what was ended has said how, or `graceMs` have passed; nothing is recorded any more after that. */
  drain(graceMs: number): Promise<void>
}

export function createStepHost(services: Services, log: RunLog, observer: StepObserver): RunStepHost {
  const { emit, streams } = services
  let suspension: PerdureError | undefined
  let isOver = false
  const inFlight = new Set<Promise<void>>()
  /** Those of them that were ended on purpose: what they come to is recorded, whatever ends after that. */
  const cancelled = new Set<Promise<void>>()
  /** Of the executions of a step that are under way, the one that counts. */
  const newest = new Map<string, Promise<void>>()

  const run: StepRun = { services, log, observer, suspension: () => suspension, isOver: () => isOver }

  const start: StepHost['run'] = (step, execute, settle, signal, policy) => {
    const known = log.step(step.key)
    if (known?.status === 'ok' || isGivenUp(known)) {
      emit({
        type: 'call.reused',
        runId: log.id,
        runCreatedAt: log.head.createdAt,
        checkpoint: observer.checkpoint(),
        key: step.key,
        kind: step.kind,
        name: step.name,
      })
      const { status, value, error } = known
      // The value was recorded by the same actor logic under the same key. Settling inside of `start` would be too early.
      queueMicrotask(() => settle(status === 'ok' ? { status, value: value as never } : { status: 'error', error }))
      return
    }
    const place = `${log.id}#${step.key}`
    const running: Promise<void> = executeStep(run, step, execute, settle, signal, policy)
      .catch(observer.onBroken)
      .finally(() => {
        inFlight.delete(running)
        cancelled.delete(running)
        signal.removeEventListener('abort', onAbort)
        if (newest.get(step.key) !== running) return // it was begun again meanwhile
        newest.delete(step.key)
        observer.onOver?.(step.key)
        services.running.delete(place)
        streams.leave(log.id, step.key)
      })
    const onAbort = (): void => void (suspension === undefined && cancelled.add(running))
    signal.addEventListener('abort', onAbort, { once: true })
    inFlight.add(running)
    newest.set(step.key, running)
    services.running.add(place)
  }
  const ask: NonNullable<StepHost['ask']> = (step, question, settle, signal) => {
    const ending = new AbortController()
    const onAbort = (): void => ending.abort(suspension ?? toAborted(`A question of run \`${log.id}\``, signal))
    signal.addEventListener('abort', onAbort, { once: true })
    const onClosed = (): void => observer.onOver?.(step.key)
    const asked = { ...step, data: toQuestionData(step), checkpoint: observer.checkpoint(), onClosed }
    services.questions.ask(log, asked, question, settle, ending.signal)
  }
  /** Looks for the record first, if there may be one that is not in memory. */
  const found = (step: StepDescription, signal: AbortSignal, go: () => void): void => {
    if (step.isAgain !== true || log.step(step.key) !== undefined) go()
    else log.loadStep(step.key).then(() => signal.aborted || go(), observer.onBroken)
  }

  return {
    run: (step, execute, settle, signal, policy) => found(step, signal, () => start(step, execute, settle, signal, policy)),
    ask: (step, question, settle, signal) => found(step, signal, () => ask(step, question, settle, signal)),
    suspend(reason) {
      suspension ??= reason
    },
    async drain(graceMs) {
      const ending = suspension === undefined ? inFlight : cancelled
      const done = new AbortController()
      if (ending.size > 0) {
        const signal = AbortSignal.any([done.signal, services.closing])
        const late = delay(graceMs, undefined, { signal }).catch(() => {}) // real time: it is a bound, not a deadline of the run
        await Promise.race([Promise.allSettled([...ending]), late])
      }
      done.abort()
      isOver = true
    },
  }
}

const toQuestionData = ({ data }: StepDescription): Readonly<Record<string, unknown>> | undefined =>
  typeof data === 'object' && data !== null ? { ...data } : undefined

/** Whether a person has said that it failed. Any other failure was taken by what it led to, in the same commit: then this is a new try. */
const isGivenUp = (record: StepRecord | undefined): record is StepRecord =>
  record?.status === 'error' && record.resolution === 'answered' && record.aborted !== true
