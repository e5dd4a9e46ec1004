import { setTimeout as delay } from 'node:timers/promises'
import { toNextDelay } from '../actors/attempt.ts'
import { isModelProgress, isStepProgress } from '../actors/progress.ts'
import type { StepContext, StepDescription, StepHost, StepOutcome, StepPolicy } from '../actors/step.ts'
import { isSuspension } from '../actors/suspension.ts'
import { isPerdureError, type PerdureError } from '../errors.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import type { DoubtResolution } from '../persistence/run-record.ts'
import { type CallScope, callScope } from './call-scope.ts'
import { perform } from './effects.ts'
import { toRecordedError, toRecordedOutcome } from './recorded-error.ts'
import type { Services } from './services.ts'
import { NO_SPEND, type Spend, subtractSpend, toChildSpend, toLostSpend, toSpend } from './spend.ts'
import { executeAttempt } from './step-attempt.ts'
import { resolveDoubt } from './step-doubt.ts'
import { toAborted } from './turn.ts'
import { waitUntil } from './wait-until.ts'

/**
 * Records the steps of one run in its journal. Keeps P2 (a settled step is answered from the journal), P3 (an effect waits for its
 * intent; what was cut off is in doubt, and goes by its policy) and P5 (an outcome is recorded in the same commit as the transition that it
 * causes).
 */
export interface StepObserver {
  /** The checkpoint that the run is in. */
  readonly checkpoint: () => string
  readonly onText: (delta: string) => void
  /** A step was in doubt, and this was done about it. */
  readonly onDoubt: (doubt: ResolvedDoubt) => void
  /**
   * A call has settled, or an attempt at it was billed in vain. Recorded in the same commit. `children`: what of it agents paid that worked for it;
   * `reused`: what of it was paid before.
   */
  readonly onSpend: (spend: Spend, children?: Spend, reused?: Spend) => void
  /** Nothing more will be recorded of a step: it has settled, and that is on disk, or it was ended. */
  readonly onOver?: (key: string) => void
  /** The run can no longer be recorded: it must stop. */
  readonly onBroken: (error: unknown) => void
}

/** A step that was in doubt, and what was done about it. */
export interface ResolvedDoubt {
  readonly key: string
  readonly kind: string
  readonly name: string
  readonly resolution: DoubtResolution
}

export interface RunStepHost extends Pick<StepHost, 'run' | 'ask'> {
  /** What aborts from now on is only this process: what is in flight stays in doubt, or goes on without us. */
  suspend(reason: PerdureError): void
  /** Resolves when what was ended has said how, or `graceMs` have passed; nothing is recorded any more after that. */
  drain(graceMs: number): Promise<void>
}

export function createStepHost(services: Services, log: RunLog, observer: StepObserver): RunStepHost {
  const { emit, now, streams, timers } = services
  let suspension: PerdureError | undefined
  let isOver = false
  const inFlight = new Set<Promise<void>>()
  /** Those of them that were ended on purpose: what they come to is recorded, whatever ends after that. */
  const cancelled = new Set<Promise<void>>()
  /** Of the executions of a step that are under way, the one that counts. */
  const newest = new Map<string, Promise<void>>()

  const run = async <T>(
    step: StepDescription,
    execute: (context: StepContext) => Promise<T>,
    settle: (outcome: StepOutcome<T>) => void,
    signal: AbortSignal,
    policy: StepPolicy<T>,
  ): Promise<void> => {
    const { kind, name, data } = step
    const call = () => ({ runId: log.id, checkpoint: observer.checkpoint(), key: step.key, kind, name })
    const effectKey = `${log.id}#${step.key}@${log.head.createdAt}`
    const known = log.step(step.key)
    const retryAt = known?.retryAt
    let record: StepRecord = { kind, name, status: 'intended', attempt: known?.attempt ?? 0, startedAt: now(), data }
    let doubted = known?.doubted ?? 0
    let resolution: DoubtResolution | undefined
    /** What agents that work for it had cost before. */
    let reused = NO_SPEND
    /** What of that was counted when the call was ended. */
    const toCounted = (): Spend => {
      const ended = [log.step(step.key), known].find((one) => one?.aborted === true)
      return ended === undefined ? NO_SPEND : toChildSpend(ended)
    }
    /** Of the attempt before this one. */
    let lastError: Error | undefined

    const toContext = (attemptSignal: AbortSignal, attempt: number): StepContext => ({
      signal: attemptSignal,
      key: `${log.id}#${step.key}`,
      attempt,
      doubted,
      runId: log.id,
      directory: services.files?.directoryOf(log.id, step.key),
      progress: onProgress,
      note(value) {
        if (signal.aborted || log.step(step.key)?.status !== 'intended') return
        record = { ...record, noted: value }
        log.putStep(step.key, record)
        log.commit().catch(observer.onBroken)
      },
    })
    function onProgress(value: unknown): void {
      if (signal.aborted) return
      if (isStepProgress(value)) {
        streams.progress(log.id, step.key, value.value)
        emit({ type: 'call.progressed', ...call(), value: value.value })
      } else if (isModelProgress(value)) {
        if (value.type === 'text') {
          observer.onText(value.delta)
          streams.text(log.id, step.key, value.delta)
          emit({ type: 'text.received', ...call(), delta: value.delta })
        } else if (value.type === 'arguments') {
          streams.arguments(log.id, step.key, value)
        } else {
          streams.discard(log.id, step.key)
          observer.onSpend(toLostSpend(value.error))
          emit({ type: 'call.retried', ...call(), attempt: value.attempt, delayMs: value.delayMs, error: value.error })
        }
      }
    }

    /** Whether an attempt before this one was cut off, and nothing has told what it came to. */
    const isOpen = (): boolean => resolution === 'retried'
    const removeFiles = async (): Promise<void> => {
      if (kind === 'tool') await services.files?.removeOf(log.id, step.key).catch(() => {}) // they go with the run then
    }
    /** P5: the transition happens now, before the commit is cut. */
    const settleWith = async (outcome: StepOutcome<T>): Promise<void> => {
      const ended: StepRecord = { ...record, endedAt: now(), resolution, doubted: doubted || undefined }
      const counted = toCounted()
      const cost = subtractSpend(toSpend({ ...ended, ...outcome }), counted)
      const before = subtractSpend(reused, counted)
      const spent = subtractSpend(cost, before)
      const settled = putOutcome(log, step.key, ended, outcome)
      observer.onSpend(cost, subtractSpend(toChildSpend({ value: undefined, error: undefined, ...settled }), counted), before)
      const error = settled.status === 'error' ? { error: settled.error } : {}
      streams.settle(log.id, step.key, settled.status, settled.status === 'ok' ? settled.value : undefined)
      emit({ type: 'call.settled', ...call(), status: settled.status, spent, resolution, ...error })
      settle(settled)
      await log.commit()
      await removeFiles()
    }
    /** It was ended on purpose. Nobody waits for it any more, and what it came to is recorded all the same. */
    const recordEnd = async (outcome: StepOutcome<T>, aborted: boolean): Promise<void> => {
      if (isSuspension(ending.signal) || isOver) return
      const current = await log.loadStep(step.key)
      if (isOver || current?.status !== 'intended' || current.attempt !== record.attempt) return
      const ended: StepRecord = { ...record, endedAt: now(), resolution, doubted: doubted || undefined }
      const counted = toCounted()
      const settled = putOutcome(log, step.key, outcome.status === 'error' ? { ...ended, aborted } : ended, outcome)
      const spent = subtractSpend(toSpend({ ...ended, ...settled }), counted)
      const error = settled.status === 'error' ? { error: settled.error } : {}
      streams.settle(log.id, step.key, settled.status, settled.status === 'ok' ? settled.value : undefined)
      emit({ type: 'call.settled', ...call(), status: settled.status, spent, ...error })
      observer.onSpend(spent, subtractSpend(toChildSpend({ value: undefined, error: undefined, ...settled }), counted))
      await log.commit()
      if (settled.status === 'ok') await removeFiles() // of one that was ended they may still tell what it came to
    }

    const scope: CallScope = {
      agents: services.agents,
      runId: log.id,
      step: step.key,
      onReused(spend) {
        reused = spend
      },
    }
    /** Code that is executed for the step finds the run by its async context. */
    const inside = <R>(task: () => R): R =>
      services.within.run([...(services.within.getStore() ?? []), log.id], () => callScope.run(scope, task))

    // Tells a cancellation from a process that ends.
    const ending = new AbortController()
    const onAbort = (): void => ending.abort(suspension ?? toAborted(`\`${name}\` of run \`${log.id}\``, signal))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      if (isInDoubt(known)) {
        // It was ended in this process, and has not heard of it yet.
        const earlier = await services.effects.join<T>(effectKey, ending.signal)
        if (signal.aborted) return
        record = { ...record, startedAt: known.startedAt, noted: known.noted }
        if (earlier?.status === 'ok') return await settleWith(earlier)
        streams.begin({ ...call(), attempt: known.attempt })
        emit({ type: 'call.recovering', ...call(), attempt: known.attempt })
        const context = toContext(ending.signal, known.attempt)
        const resolved = await inside(() =>
          resolveDoubt(services, log, { ...step, checkpoint: observer.checkpoint() }, policy.doubt, {
            ...context,
            noted: known.noted,
          }),
        )
        resolution = resolved.resolution
        if (signal.aborted) {
          if (resolved.outcome === undefined) return
          record = { ...record, attempt: known.attempt }
          return await recordEnd(toRecordedOutcome(resolved.outcome), false)
        }
        if (resolution !== undefined) observer.onDoubt({ key: step.key, kind, name, resolution })
        if (resolved.outcome !== undefined) return await settleWith(toRecordedOutcome(resolved.outcome))
        if (resolution === 'retried') doubted++
        record = { ...record, startedAt: now(), noted: undefined }
        streams.discard(log.id, step.key)
      } else if (retryAt !== undefined) {
        lastError = toRecordedError(new Error('An earlier attempt had failed.'))
        await waitUntil(timers, retryAt, ending.signal)
      }
      for (;;) {
        if (signal.aborted)
          return await recordEnd({ status: 'error', error: lastError ?? toRecordedError(ending.signal.reason) }, isOpen())
        const attempt = record.attempt + 1
        record = { ...record, attempt, doubted: doubted || undefined, resolution }
        log.putStep(step.key, record)
        const durable = log.commit()
        if (step.effect)
          await durable // P3
        else durable.catch(observer.onBroken)
        if (!signal.aborted) {
          streams.begin({ ...call(), attempt })
          emit({ type: 'call.started', ...call(), attempt, inDoubt: resolution === 'retried' })
        }
        // A listener may have ended it.
        if (signal.aborted) return await recordEnd({ status: 'error', error: toRecordedError(ending.signal.reason) }, isOpen())
        const outcome = toRecordedOutcome(
          await inside(() =>
            executeAttempt(services, ending.signal, policy, (attemptSignal) => {
              const start = () => execute(toContext(attemptSignal, attempt))
              return step.effect ? services.effects.run(effectKey, attemptSignal, start) : perform(start)
            }),
          ),
        )
        if (signal.aborted) return await recordEnd(outcome, true)
        const delayMs = toNextDelay(outcome, attempt, policy)
        if (delayMs === undefined) return await settleWith(outcome)
        const nextAt = timers.now() + delayMs
        const error = outcome.status === 'error' ? outcome.error : outcome.value
        lastError = toRecordedError(outcome.status === 'error' ? outcome.error : new Error('The last attempt had failed.'))
        log.putStep(step.key, { ...record, retryAt: nextAt })
        await log.commit() // the next attempt keeps its time
        streams.discard(log.id, step.key)
        emit({ type: 'call.retried', ...call(), attempt, delayMs, error })
        record = { ...record, startedAt: now() }
        resolution = undefined
        await waitUntil(timers, nextAt, ending.signal)
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  const start: StepHost['run'] = (step, execute, settle, signal, policy) => {
    const known = log.step(step.key)
    if (known?.status === 'ok' || isGivenUp(known)) {
      emit({
        type: 'call.reused',
        runId: log.id,
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
    const running: Promise<void> = run(step, execute, settle, signal, policy)
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

/** Whether nobody knows what came of it: its process ended while it ran, or it was ended while it ran. */
function isInDoubt(record: StepRecord | undefined): record is StepRecord {
  if (record === undefined || record.retryAt !== undefined) return false
  if (record.status === 'intended' || record.aborted === true) return true
  // What was asked for may still be had.
  return record.status === 'error' && record.noted !== undefined && isPerdureError(record.error, 'MODEL_UNAVAILABLE')
}

/** Whether a person has said that it failed. Any other failure was taken by what it led to, in the same commit: then this is a new try. */
const isGivenUp = (record: StepRecord | undefined): record is StepRecord =>
  record?.status === 'error' && record.resolution === 'answered' && record.aborted !== true

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
