import { toNextDelay } from '../actors/attempt.ts'
import { isModelProgress, isStepProgress } from '../actors/progress.ts'
import type { StepContext, StepDescription, StepOutcome, StepPolicy } from '../actors/step.ts'
import { isSuspension } from '../actors/suspension.ts'
import { isPerdureError, type PerdureError } from '../errors.ts'
import type { ModelAnswer, ToolMessage } from '../machines/conversation.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import type { DoubtResolution } from '../persistence/run-record.ts'
import { type CallScope, callScope } from './call-scope.ts'
import { publishContent } from './content-channel.ts'
import { perform } from './effects.ts'
import type { RuntimeEvent } from './events.ts'
import { toRecordedError, toRecordedOutcome } from './recorded-error.ts'
import type { Services } from './services.ts'
import { NO_SPEND, type Spend, subtractSpend, toChildSpend, toLostSpend, toSpend } from './spend.ts'
import { executeAttempt } from './step-attempt.ts'
import { resolveDoubt } from './step-doubt.ts'
import { toAborted } from './turn.ts'
import { waitUntil } from './wait-until.ts'

type SettledEvent = Extract<RuntimeEvent, { readonly type: 'call.settled' }>

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

/** The run that a step belongs to. */
export interface StepRun {
  readonly services: Services
  readonly log: RunLog
  readonly observer: StepObserver
  /** Why what aborts is only this process, if it is: what is in flight stays in doubt, or goes on without us. */
  readonly suspension: () => PerdureError | undefined
  /** Nothing is recorded any more. */
  readonly isOver: () => boolean
}

/**
 * Executes a step: first what was left in doubt is resolved, then attempts are made, until one settles. Keeps P3 (an effect waits for its intent; what was cut off is
 * in doubt, and goes by its policy) and P5 (an outcome is recorded in the same commit as the transition that it causes). Errors: those of a commit.
 */
export async function executeStep<T>(
  { services, log, observer, suspension, isOver }: StepRun,
  step: StepDescription,
  execute: (context: StepContext) => Promise<T>,
  settle: (outcome: StepOutcome<T>) => void,
  signal: AbortSignal,
  policy: StepPolicy<T>,
): Promise<void> {
  const { emit, now, streams, timers } = services
  const { key, kind, name, data, provider, toAsked } = step
  const call = () => ({ runId: log.id, checkpoint: observer.checkpoint(), key, kind, name })
  const facts = { runCreatedAt: log.head.createdAt, provider, callId: toCallId(data) }
  const effectKey = `${log.id}#${key}@${log.head.createdAt}`
  const known = log.step(key)
  const retryAt = known?.retryAt
  let record: StepRecord = { kind, name, status: 'intended', attempt: known?.attempt ?? 0, startedAt: now(), data }
  let doubted = known?.doubted ?? 0
  let resolution: DoubtResolution | undefined
  /** What agents that work for it had cost before. */
  let reused = NO_SPEND
  /** Of the attempt before this one. */
  let lastError: Error | undefined
  // Tells a cancellation from a process that ends.
  const ending = new AbortController()

  const toContext = (attemptSignal: AbortSignal, attempt: number): StepContext => ({
    signal: attemptSignal,
    key: `${log.id}#${key}`,
    attempt,
    doubted,
    runId: log.id,
    get directory() {
      // What a command writes into its files goes through nobody's hands.
      return services.redact === undefined ? services.files?.directoryOf(log.id, key) : undefined
    },
    progress: (value) => {
      if (!signal.aborted) tellProgress(services, observer, call(), value)
    },
    note(value) {
      if (signal.aborted || log.step(key)?.status !== 'intended') return
      record = { ...record, noted: value }
      log.putStep(key, record)
      log.commit().catch(observer.onBroken)
    },
  })
  const scope: CallScope = {
    agents: services.agents,
    runId: log.id,
    step: key,
    onReused(spend) {
      reused = spend
    },
  }
  /** Code that is executed for the step finds the run by its async context. */
  const inside = <R>(task: () => R): R =>
    services.within.run([...(services.within.getStore() ?? []), log.id], () => callScope.run(scope, task))

  /** What of its cost was counted when the call was ended. */
  const toCounted = (): Spend => {
    const ended = [log.step(key), known].find((one) => one?.aborted === true)
    return ended === undefined ? NO_SPEND : toChildSpend(ended)
  }
  /** Puts an outcome into the journal, and tells of it. `aborted`: an error is the end that was put to it, and leaves it in doubt. */
  const put = (outcome: StepOutcome<T>, aborted: boolean): StepOutcome<T> => {
    const ended: StepRecord = { ...record, endedAt: now(), resolution, doubted: doubted || undefined }
    const counted = toCounted()
    const cost = subtractSpend(toSpend({ ...ended, ...outcome }), counted)
    const before = subtractSpend(reused, counted)
    const settled = putOutcome(log, key, aborted && outcome.status === 'error' ? { ...ended, aborted } : ended, outcome)
    observer.onSpend(cost, subtractSpend(toChildSpend({ value: undefined, error: undefined, ...settled }), counted), before)
    streams.settle(log.id, key, settled.status, settled.status === 'ok' ? settled.value : undefined)
    publishContent(services, call(), () => ({ answered: settled.status === 'ok' ? settled.value : settled.error }))
    const { status } = settled
    const result = status === 'error' ? { error: settled.error } : toFacts(kind, settled.value)
    emit({ type: 'call.settled', ...call(), status, spent: subtractSpend(cost, before), resolution, ...result })
    return settled
  }
  const removeFiles = async (): Promise<void> => {
    if (kind === 'tool') await services.files?.removeOf(log.id, key).catch(() => {}) // they go with the run then
  }
  /** P5: the transition happens now, before the commit is cut. */
  const settleWith = async (outcome: StepOutcome<T>): Promise<void> => {
    settle(put(outcome, false))
    await log.commit({ gather: true })
    await removeFiles()
  }
  /** It was ended on purpose. Nobody waits for it any more, and what it came to is recorded all the same. */
  const recordEnd = async (outcome: StepOutcome<T>, aborted: boolean): Promise<void> => {
    if (isSuspension(ending.signal) || isOver()) return
    const current = await log.loadStep(key)
    if (isOver() || current?.status !== 'intended' || current.attempt !== record.attempt) return
    const { status } = put(outcome, aborted)
    await log.commit()
    if (status === 'ok') await removeFiles() // of one that was ended they may still tell what it came to
  }
  /** It was ended before this attempt began. If an earlier one was cut off, and nothing has told what that came to, it stays in doubt. */
  const recordEndBefore = (error: Error): Promise<void> => recordEnd({ status: 'error', error }, resolution === 'retried')

  /** Whether nothing is left to do. */
  const resolve = async (before: StepRecord): Promise<boolean> => {
    // It was ended in this process, and has not heard of it yet.
    const earlier = await services.effects.join<T>(effectKey, ending.signal)
    if (signal.aborted) return true
    record = { ...record, startedAt: before.startedAt, noted: before.noted }
    if (earlier?.status === 'ok') {
      await settleWith(earlier)
      return true
    }
    streams.begin({ ...call(), attempt: before.attempt })
    emit({ type: 'call.recovering', ...call(), ...facts, attempt: before.attempt })
    const context = { ...toContext(ending.signal, before.attempt), noted: before.noted }
    const about = { ...step, checkpoint: observer.checkpoint() }
    const resolved = await inside(() => resolveDoubt(services, log, about, policy.doubt, context))
    resolution = resolved.resolution
    const outcome = resolved.outcome === undefined ? undefined : toRecordedOutcome(resolved.outcome)
    if (signal.aborted) {
      record = { ...record, attempt: before.attempt }
      if (outcome !== undefined) await recordEnd(outcome, false)
      return true
    }
    if (resolution !== undefined) observer.onDoubt({ key, kind, name, resolution })
    if (outcome !== undefined) {
      await settleWith(outcome)
      return true
    }
    if (resolution === 'retried') doubted++
    record = { ...record, startedAt: now(), noted: undefined }
    streams.discard(log.id, key)
    return false
  }

  /** When the next attempt is to be made; `undefined`: nothing is left to do. */
  const attempt = async (): Promise<number | undefined> => {
    if (signal.aborted) {
      await recordEndBefore(lastError ?? toRecordedError(ending.signal.reason))
      return undefined
    }
    const number = record.attempt + 1
    record = { ...record, attempt: number, doubted: doubted || undefined, resolution }
    log.putStep(key, record)
    const durable = log.commit({ gather: !step.effect })
    if (step.effect)
      await durable // P3
    else durable.catch(observer.onBroken)
    if (!signal.aborted) {
      streams.begin({ ...call(), attempt: number })
      emit({ type: 'call.started', ...call(), ...facts, attempt: number, inDoubt: resolution === 'retried' })
      if (toAsked !== undefined) publishContent(services, call(), () => ({ asked: toAsked() }))
    }
    // A listener may have ended it.
    if (signal.aborted) {
      await recordEndBefore(toRecordedError(ending.signal.reason))
      return undefined
    }
    const came = await inside(() =>
      executeAttempt(services, ending.signal, policy, (attemptSignal) => {
        const start = () => execute(toContext(attemptSignal, number))
        return step.effect ? services.effects.run(effectKey, attemptSignal, start) : perform(start)
      }),
    )
    const outcome = toRecordedOutcome(came)
    if (signal.aborted) {
      await recordEnd(outcome, true)
      return undefined
    }
    const delayMs = toNextDelay(outcome, number, policy)
    if (delayMs === undefined) {
      await settleWith(outcome)
      return undefined
    }
    const nextAt = timers.now() + delayMs
    const error = outcome.status === 'error' ? outcome.error : outcome.value
    lastError = toRecordedError(outcome.status === 'error' ? outcome.error : new Error('The last attempt had failed.'))
    log.putStep(key, { ...record, retryAt: nextAt })
    await log.commit() // the next attempt keeps its time
    streams.discard(log.id, key)
    emit({ type: 'call.retried', ...call(), attempt: number, delayMs, error })
    record = { ...record, startedAt: now() }
    resolution = undefined
    return nextAt
  }

  const onAbort = (): void => ending.abort(suspension() ?? toAborted(`\`${name}\` of run \`${log.id}\``, signal))
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    if (isInDoubt(known)) {
      if (await resolve(known)) return
    } else if (retryAt !== undefined) {
      lastError = toRecordedError(new Error('An earlier attempt had failed.'))
      await waitUntil(timers, retryAt, ending.signal)
    }
    for (let next = await attempt(); next !== undefined; next = await attempt()) await waitUntil(timers, next, ending.signal)
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** What a call tells while it is under way goes to those who stream the run, and to those who hear its events. */
function tellProgress(
  { emit, streams }: Services,
  observer: StepObserver,
  call: {
    readonly runId: string
    readonly checkpoint: string
    readonly key: string
    readonly kind: string
    readonly name: string
  },
  value: unknown,
): void {
  const { runId, key } = call
  if (isStepProgress(value)) {
    streams.progress(runId, key, value.value)
    emit({ type: 'call.progressed', ...call, value: value.value })
  } else if (isModelProgress(value)) {
    if (value.type === 'text') {
      observer.onText(value.delta)
      streams.text(runId, key, value.delta)
      emit({ type: 'text.received', ...call, delta: value.delta })
    } else if (value.type === 'arguments') {
      streams.arguments(runId, key, value)
    } else {
      streams.discard(runId, key)
      observer.onSpend(toLostSpend(value.error))
      emit({ type: 'call.retried', ...call, attempt: value.attempt, delayMs: value.delayMs, error: value.error })
    }
  }
}

/** The provider's id of the tool call that a step executes. */
const toCallId = (data: unknown): string | undefined =>
  typeof data === 'object' && data !== null && 'callId' in data ? String(data.callId) : undefined

/** What is told of what a step settled with. */
function toFacts(kind: string, value: unknown): Pick<SettledEvent, 'answered' | 'isToolError'> {
  if (kind === 'tool') return (value as ToolMessage).isError ? { isToolError: true } : {} // `fromTools` makes it
  if (kind !== 'model') return {}
  const { model, responseId } = value as ModelAnswer // `fromModel` checks it
  return { answered: { model, responseId } }
}

/** Whether nobody knows what came of it: its process ended while it ran, or it was ended while it ran. */
function isInDoubt(record: StepRecord | undefined): record is StepRecord {
  if (record === undefined || record.retryAt !== undefined) return false
  if (record.status === 'intended' || record.aborted === true) return true
  // What was asked for may still be had.
  return record.status === 'error' && record.noted !== undefined && isPerdureError(record.error, 'MODEL_UNAVAILABLE')
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
