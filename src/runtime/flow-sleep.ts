import { z } from 'zod'
import type { RunLog } from '../persistence/run-log.ts'
import { type Attempt, Standing } from './attempt.ts'
import type { Branch } from './flow-branch.ts'
import type { Checkpoints } from './flow-checkpoint.ts'
import type { Services } from './services.ts'
import { waitUntil } from './wait-until.ts'

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
export function createFlowSleeps(
  services: Services,
  log: RunLog,
  attempt: Attempt,
  checkpoints: Checkpoints,
): (branch: Branch, wait: Wait) => Promise<void> {
  const { now, timers } = services
  const { signal } = attempt

  /** How long is still to be waited. However far the clock went back meanwhile, it is never longer than was asked for. */
  const toRemaining = (wait: Wait, dueAt: number): number =>
    'ms' in wait ? Math.min(dueAt - timers.now(), wait.ms) : wait.until - now()

  return async (branch, wait) => {
    const asked = checkpoints.find(branch, 'sleep', 'sleep', Sleep)
    const { key, name, minimum, record, data: known, recorded } = asked
    const judged = attempt.judge(recorded, minimum, false)
    if (judged === 'reuse') {
      checkpoints.reuse(asked)
      return
    }
    const startedAt = now()
    const isKept = judged === 'resumed' && known !== undefined && isSame(known.wait, wait)
    const dueAt = isKept ? known.dueAt : 'ms' in wait ? timers.now() + wait.ms : wait.until
    // One that was changed while it lasted has let nothing come after it: nothing else is out of date.
    const standing = await attempt.place(judged, recorded, minimum)
    const data: Sleep = { ...standing, wait, dueAt }
    const base = { kind: 'sleep', name, attempt: (record?.attempt ?? 0) + 1, startedAt, data } as const
    log.putStep(key, { ...base, status: 'intended' })
    await log.commit() // the deadline outlives the process from here on
    attempt.assertOpen(`Sleep \`${name}\``)
    checkpoints.started(asked, judged === 'resumed' && !isKept ? 'changed' : judged)
    await waitUntil(timers, timers.now() + toRemaining(wait, dueAt), signal)
    attempt.assertOpen(`The end of sleep \`${name}\``)
    await checkpoints.conclude(asked, standing, { ...base, status: 'ok', endedAt: now() }, { status: 'ok', value: undefined })
  }
}
