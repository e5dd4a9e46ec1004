import { z } from 'zod'
import { executeAttempt, toNextDelay, type Wait } from '../actors/attempt.ts'
import type { StepPolicy } from '../actors/step.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import { type Attempt, Standing } from './attempt.ts'
import type { StepFunctionContext, StepOptions } from './flow.ts'
import type { Branch } from './flow-branch.ts'
import type { Checkpoints } from './flow-checkpoint.ts'
import { toStepPolicy } from './flow-step-policy.ts'
import { toRecordedOutcome } from './recorded-error.ts'
import type { Services } from './services.ts'
import { toSpend } from './spend.ts'
import { resolveDoubt } from './step-doubt.ts'
import { waitUntil } from './wait-until.ts'

/** A step as it is recorded. `before`: how often it was executed before it was begun anew. */
const StepData = Standing.extend({ before: z.int().optional() })

type Run = <T>(
  branch: Branch,
  name: string,
  fn: (context: StepFunctionContext) => T | Promise<T>,
  options?: StepOptions<T>,
) => Promise<T>

/** The steps of one attempt at a flow: see `FlowContext.step`. Keeps P2 and P3. */
export function createFlowSteps(services: Services, log: RunLog, attempt: Attempt, checkpoints: Checkpoints): Run {
  const { effects, emit, now, timers } = services
  const { runId, signal } = attempt
  const wait: Wait = (ms, ending) => waitUntil(timers, timers.now() + ms, ending)

  return async <T>(
    branch: Branch,
    called: string,
    fn: (context: StepFunctionContext) => T | Promise<T>,
    options?: StepOptions<T>,
  ): Promise<T> => {
    if (typeof called !== 'string' || called === '' || !called.isWellFormed())
      throw new TypeError(`Expected \`name\` of a step to be a non-empty string, got \`${String(called)}\` (${typeof called})`)
    if (typeof fn !== 'function') throw new TypeError(`Expected \`fn\` of step \`${called}\` to be a function, got ${typeof fn}`)
    const policy: StepPolicy<T> = toStepPolicy(called, options)
    const asked = checkpoints.find(branch, 'step', called, StepData)
    const { key, name, minimum, record: known, recorded, data } = asked
    const reason = attempt.judge(recorded, minimum, false)
    // Only what was recorded is reused, and the value is what `fn` had returned under this name.
    if (reason === 'reuse') return checkpoints.reuse(asked) as T

    const standing = await attempt.place(reason, recorded, minimum)
    // Begun anew, it has all of its attempts again; its key and their number go on.
    const before = reason === 'resumed' ? data?.before : known?.attempt
    const effect = `${runId}#${key}`
    const effectKey = `${effect}@${log.head.createdAt}`
    let record: StepRecord = {
      kind: 'step',
      name,
      status: 'intended',
      attempt: known?.attempt ?? 0,
      startedAt: now(),
      doubted: known?.doubted,
      data: before === undefined ? standing : { ...standing, before },
    }
    // What is thrown is what was recorded, as after a crash: code that decides by it goes the same way in every life (P5).
    const conclude = (came: Parameters<typeof checkpoints.conclude<T>>[3]): Promise<T> => {
      const outcome = toRecordedOutcome(came)
      const settled: StepRecord = { ...record, ...outcome, endedAt: now() }
      return checkpoints.conclude(asked, standing, settled, outcome, toSpend(settled))
    }

    const isResumed = reason === 'resumed' && known !== undefined
    if (isResumed && known.retryAt !== undefined) {
      await waitUntil(timers, known.retryAt, signal)
    } else if (isResumed) {
      record = { ...record, startedAt: known.startedAt }
      // It was ended in this process, and has not heard of it yet.
      const earlier = await effects.join<T>(effectKey, signal)
      attempt.assertOpen(`Step \`${name}\``)
      if (earlier?.status === 'ok') {
        checkpoints.started(asked, reason)
        return conclude(earlier)
      }
      const description = { key, name, kind: 'step', effect: true, checkpoint: name } as const
      const { outcome, resolution } = await resolveDoubt(services, log, description, policy.doubt, {
        signal,
        key: effect,
        attempt: known.attempt,
        doubted: known.doubted ?? 0,
        runId,
        progress: () => {},
        note: () => {},
        noted: known.noted,
      })
      attempt.assertOpen(`Step \`${name}\``)
      record = { ...record, resolution }
      if (outcome !== undefined) {
        checkpoints.started(asked, reason)
        return conclude(outcome)
      }
      if (resolution === 'retried') record = { ...record, doubted: (record.doubted ?? 0) + 1 }
    }
    for (let isFirst = true; ; isFirst = false) {
      attempt.assertOpen(`Step \`${name}\``)
      const tries = record.attempt + 1
      record = { ...record, attempt: tries, startedAt: now() }
      log.putStep(key, record)
      await log.commit() // P3
      attempt.assertOpen(`Step \`${name}\``)
      if (isFirst) checkpoints.started(asked, reason)
      services.running.add(effect)
      const outcome = await executeAttempt(wait, signal, policy, (ending) =>
        effects.run(effectKey, ending, () => fn({ key: effect, attempt: tries, signal: ending })),
      ).finally(() => services.running.delete(effect))
      // What comes to its end after the run is in doubt, as after a crash. So is an outcome that cannot be recorded.
      attempt.assertOpen(`The end of step \`${name}\``)
      const delayMs = toNextDelay(outcome, tries - (before ?? 0), policy)
      if (outcome.status === 'ok' || delayMs === undefined) return conclude(outcome)
      const retryAt = timers.now() + delayMs
      log.putStep(key, { ...record, retryAt })
      await log.commit() // the next attempt keeps its time
      const about = { runId, checkpoint: name, key, kind: 'step', name: called } as const
      emit({ type: 'call.retried', ...about, attempt: tries, delayMs, error: outcome.error })
      record = { ...record, resolution: undefined }
      await waitUntil(timers, retryAt, signal)
    }
  }
}
