import type { EventObject } from 'xstate'
import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { type Attempt, Standing } from './attempt.ts'
import type { FlowWaitOptions } from './flow.ts'
import type { Branch } from './flow-branch.ts'
import type { Checkpoints } from './flow-checkpoint.ts'
import type { FlowInbox } from './flow-inbox.ts'
import type { Services } from './services.ts'

/** A wait as it is recorded. `dueAt`: its deadline in epoch milliseconds, if it has one. */
const Wait = Standing.extend({ timeoutMs: z.number().optional(), dueAt: z.number().optional() })
type Wait = Readonly<z.output<typeof Wait>>

/** What a wait came to. */
type Arrival = { readonly event: EventObject; readonly key: string; readonly value: unknown } | 'late' | 'ended'

/** The waits of one attempt at a flow: see `FlowContext.waitFor`. */
export function createFlowWaits(
  services: Services,
  log: RunLog,
  attempt: Attempt,
  checkpoints: Checkpoints,
  inbox: FlowInbox,
): (branch: Branch, type: string, options?: FlowWaitOptions) => Promise<unknown> {
  const { now, timers } = services
  const { runId, signal } = attempt

  /** Resolves with the first event that fits; nothing is taken after the deadline, nor after the end. */
  const arrive = async (type: string, parse: Parse, wait: Wait): Promise<Arrival> => {
    const { dueAt, timeoutMs } = wait
    const arrival = Promise.withResolvers<Arrival>()
    let value: unknown
    const place = inbox.add({
      type,
      async accepts({ event, sentAt }) {
        if (dueAt !== undefined && sentAt > dueAt) return false // it came while nobody was here to see that it was late
        const parsed = await parse(event)
        if (parsed === undefined) return false
        value = parsed.value
        return true
      },
      take: (event, key) => arrival.resolve({ event, key, value }),
      fail: arrival.reject,
    })
    const onAbort = (): void => arrival.resolve('ended')
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    let timer: ReturnType<typeof timers.set> | undefined
    try {
      // What is in the inbox came before the deadline that is overdue.
      await Promise.race([place.looked, arrival.promise])
      if (dueAt !== undefined && timeoutMs !== undefined) {
        const leftMs = Math.min(dueAt - timers.now(), timeoutMs) // however far the clock went back
        timer = timers.set(timers.now() + leftMs, () => arrival.resolve('late'))
      }
      return await arrival.promise
    } finally {
      place.remove()
      if (timer !== undefined) timers.clear(timer)
      signal.removeEventListener('abort', onAbort)
    }
  }

  return async (branch, type, options) => {
    const { timeoutMs, parse } = toWait(type, options)
    const asked = checkpoints.find(branch, 'wait', type, Wait)
    const { key, name, minimum, record, data: known, recorded } = asked
    // Kept by its raw form: a schema that was changed meanwhile has its say.
    const taken = record?.status === 'ok' ? await parse(record.value as EventObject) : undefined // only events are recorded
    const judged = attempt.judge(recorded, minimum, record?.status === 'ok' && taken === undefined)
    if (judged === 'reuse') {
      checkpoints.reuse(asked)
      return taken?.value
    }
    const startedAt = now()
    const isKept = judged === 'resumed' && known !== undefined && known.timeoutMs === timeoutMs
    const dueAt = isKept ? known.dueAt : timeoutMs === undefined ? undefined : timers.now() + timeoutMs
    const standing = await attempt.place(judged, recorded, minimum)
    const data: Wait = { ...standing, timeoutMs, dueAt }
    const base = { kind: 'wait', name, attempt: (record?.attempt ?? 0) + 1, startedAt, data } as const
    const settle = (event: EventObject, value: unknown): Promise<unknown> =>
      checkpoints.conclude(asked, standing, { ...base, status: 'ok', endedAt: now(), value: event }, { status: 'ok', value })
    if (judged === 'after-change' && record !== undefined && taken !== undefined) {
      // What came from outside is a fact: it does not come again because something before it was executed again.
      checkpoints.started(asked, judged)
      return settle(record.value as EventObject, taken.value) // see above
    }
    log.putStep(key, { ...base, status: 'intended' })
    await log.commit() // the deadline outlives the process from here on
    attempt.assertOpen(`The wait for \`${type}\``)
    checkpoints.started(asked, judged === 'resumed' && !isKept ? 'changed' : judged)
    const arrival = await arrive(type, parse, data)
    attempt.assertOpen(`The end of the wait for \`${type}\``)
    if (arrival === 'late' || arrival === 'ended') {
      const error = toLate(runId, type, timeoutMs)
      return checkpoints.conclude(
        asked,
        standing,
        { ...base, status: 'error', endedAt: now(), error },
        { status: 'error', error },
      )
    }
    log.stage({ type: 'del', key: arrival.key }) // in one commit with the record (P5)
    return settle(arrival.event, arrival.value)
  }
}

type Parse = (event: EventObject) => Promise<{ readonly value: unknown } | undefined>

/** Errors: a `TypeError`. */
function toWait(type: unknown, options: FlowWaitOptions = {}): { readonly timeoutMs: number | undefined; readonly parse: Parse } {
  if (typeof type !== 'string' || type === '' || !type.isWellFormed())
    throw new TypeError(
      `Expected \`type\` of \`flow.waitFor\` to be a non-empty string, got \`${String(type)}\` (${typeof type})`,
    )
  if (typeof options !== 'object' || options === null)
    throw new TypeError(
      `Expected the options of \`flow.waitFor\` to be an object such as \`{ timeoutMs }\`, got \`${String(options)}\` (${typeof options})`,
    )
  const { timeoutMs, schema } = options
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs >= 0))
    throw new TypeError(
      `Expected \`timeoutMs\` of \`flow.waitFor\` to be a finite number ≥ 0, got \`${String(timeoutMs)}\` (${typeof timeoutMs})`,
    )
  if (schema === undefined) return { timeoutMs, parse: async (event) => ({ value: event }) }
  if (typeof schema?.safeParseAsync !== 'function')
    throw new TypeError(`Expected \`schema\` of \`flow.waitFor\` to be a zod schema, got ${typeof schema}`)
  return {
    timeoutMs,
    async parse(event) {
      const parsed = await schema.safeParseAsync(event)
      return parsed.success ? { value: parsed.data } : undefined
    },
  }
}

const toLate = (run: string, type: string, timeoutMs: number | undefined): PerdureError =>
  new PerdureError('WAIT_TIMEOUT', `Run \`${run}\` was sent no \`${type}\` that it waited for within ${timeoutMs} ms.`, {
    details: { run, type, timeoutMs },
  })
