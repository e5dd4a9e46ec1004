import { z } from 'zod'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import { type Attempt, Standing } from './attempt.ts'
import { parseRecorded } from './recorded.ts'
import type { Services } from './services.ts'
import { NO_SPEND } from './spend.ts'
import { toCheckpointName } from './turn.ts'

/** What a flow asked for: a time to pass, or a time to come. */
const Wait = z.union([z.object({ ms: z.number() }), z.object({ until: z.number() })])
type Wait = Readonly<z.output<typeof Wait>>

/** A sleep as it is recorded. `dueAt`: its deadline in epoch milliseconds. */
const Sleep = Standing.extend({ wait: Wait, dueAt: z.number() })
type Sleep = Readonly<z.output<typeof Sleep>>

/** Errors: a `TypeError`. */
export function toSleep(ms: number): Wait {
  if (Number.isFinite(ms) && ms >= 0) return { ms }
  throw new TypeError(`Expected \`ms\` of \`flow.sleep\` to be a finite number ≥ 0, got \`${String(ms)}\` (${typeof ms})`)
}

/** Errors: a `TypeError`. */
export function toSleepUntil(time: Date | number): Wait {
  const until = time instanceof Date ? time.getTime() : time
  if (Number.isFinite(until)) return { until }
  const what = 'a valid Date or a time in epoch milliseconds'
  throw new TypeError(`Expected \`time\` of \`flow.sleepUntil\` to be ${what}, got \`${String(time)}\` (${typeof time})`)
}

const isSame = (a: Wait, b: Wait): boolean => ('ms' in a ? 'ms' in b && a.ms === b.ms : 'until' in b && a.until === b.until)

/** The sleeps of one attempt at a flow (P8): see `FlowContext.sleep`. */
export function createFlowSleeps(services: Services, log: RunLog, attempt: Attempt): (wait: Wait) => Promise<void> {
  const { emit, now, timers } = services
  const { runId, signal } = attempt
  let asked = 0

  const reuse = (key: string, record: StepRecord, sleep: Sleep): void => {
    const upTo = attempt.newest()
    if (sleep.upTo < upTo) {
      log.putStep(key, { ...record, data: { ...sleep, upTo } })
      log.commit().catch(() => {}) // then it is confirmed again next time
    }
    attempt.settle(sleep)
    attempt.book.reuse(NO_SPEND)
    emit({ type: 'checkpoint.reused', runId, checkpoint: record.name, kind: 'step', reused: NO_SPEND })
  }

  /** How long is still to be waited. However far the clock went back meanwhile, it is never longer than was asked for. */
  const toRemaining = (wait: Wait, dueAt: number): number =>
    'ms' in wait ? Math.min(dueAt - timers.now(), wait.ms) : wait.until - now()

  /** Resolves after `ms`, or when the signal aborts; leaves no timer behind. */
  const pass = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      if (ms <= 0 || signal.aborted) return resolve()
      const timer = timers.set(timers.now() + ms, () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      })
      const onAbort = (): void => {
        timers.clear(timer)
        resolve()
      }
      signal.addEventListener('abort', onAbort, { once: true })
    })

  return async (wait) => {
    attempt.assertOpen('A sleep')
    asked++
    const checkpoint = toCheckpointName('sleep', asked)
    const key = `sleep/${checkpoint}`
    const minimum = attempt.minimum()
    const record = log.step(key)
    const known = record === undefined ? undefined : parseRecorded(Sleep, record.data, runId, `sleep \`${checkpoint}\``)
    const recorded = record === undefined || known === undefined ? undefined : { ...known, status: record.status }
    const judged = attempt.judge(recorded, minimum, false)
    if (judged === 'reuse') return reuse(key, record as StepRecord, known as Sleep) // only what was recorded is

    const startedAt = now()
    const isKept = judged === 'resumed' && known !== undefined && isSame(known.wait, wait)
    const dueAt = isKept ? known.dueAt : 'ms' in wait ? timers.now() + wait.ms : wait.until
    // One that was changed while it lasted has let nothing come after it: nothing else is out of date.
    const standing = await attempt.place(judged, recorded, minimum)
    const tries = (record?.attempt ?? 0) + 1
    const data: Sleep = { ...standing, wait, dueAt }
    const base = { kind: 'sleep', name: checkpoint, attempt: tries, startedAt, data } as const
    const about = { runId, checkpoint, kind: 'step' } as const
    log.putStep(key, { ...base, status: 'intended' })
    await log.commit() // the deadline outlives the process from here on
    attempt.assertOpen(`Sleep \`${checkpoint}\``)
    const reason = judged === 'resumed' && !isKept ? 'changed' : judged
    emit({ type: 'checkpoint.started', ...about, reason, changed: [], reused: NO_SPEND })
    await pass(toRemaining(wait, dueAt))
    attempt.assertOpen(`The end of sleep \`${checkpoint}\``)
    const durationMs = Math.max(0, now() - startedAt)
    try {
      log.putStep(key, { ...base, status: 'ok', endedAt: now() })
      await log.commit()
      attempt.book.finish()
      emit({ type: 'checkpoint.finished', ...about, spent: NO_SPEND, reused: NO_SPEND, durationMs })
    } catch (error) {
      emit({ type: 'checkpoint.failed', ...about, spent: NO_SPEND, durationMs, error })
      throw error
    } finally {
      attempt.settle(standing)
    }
  }
}
