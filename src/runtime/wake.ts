import { inboxRange, toInbox, toWake, wakeRange } from '../persistence/keys.ts'
import { isOver } from './run-errors.ts'
import type { Services } from './services.ts'
import type { TimerHandle } from './timer-queue.ts'

/**
 * Activates the runs that have work: messages, work that was in flight, deadlines. What waits costs nothing: of all deadlines on disk only the earliest
 * is known to the process.
 */
export interface Waker {
  /**
   * Activates what has work now, and from then on what gets some. Resolves when the first is done. A run that cannot be activated is
   * told of and does not stop the others.
   */
  resume(): Promise<void>
  /** A run left memory and is to be activated again at `wakeAt`. */
  consider(wakeAt: number): void
  close(): Promise<void>
}

export interface WakerOptions {
  readonly services: Services
  readonly activate: (runId: string) => Promise<unknown>
  /** Brings a run the messages that wait for it. */
  readonly takeMessages: (runId: string) => Promise<void>
  /** How many runs are brought into memory at once. */
  readonly concurrency: number
  readonly onBlocked: (runId: string, error: unknown) => void
}

export function createWaker({ services, activate, takeMessages, concurrency, onBlocked }: WakerOptions): Waker {
  const { store, timers, now } = services
  let alarm: { readonly at: number; readonly handle: TimerHandle } | undefined
  let isOn = false
  let isClosed = false
  const passes = new Set<Promise<void>>()

  const forEach = async (runIds: AsyncIterable<string>, bring: (runId: string) => Promise<unknown>): Promise<void> => {
    const running = new Set<Promise<void>>()
    for await (const runId of runIds) {
      if (isClosed) break
      const one: Promise<void> = bring(runId)
        .then(
          () => {},
          (error: unknown) => {
            if (!isClosed && !isOver(error)) onBlocked(runId, error) // it may have ended since it was listed
          },
        )
        .finally(() => running.delete(one))
      running.add(one)
      if (running.size >= concurrency) await Promise.race(running)
    }
    await Promise.all(running)
  }

  async function* withMessages(): AsyncIterable<string> {
    let last: string | undefined
    for await (const [key] of store.entries(inboxRange())) {
      const { run } = toInbox(key)
      if (run !== last) yield run
      last = run
    }
  }
  async function* due(from: number, until: number): AsyncIterable<string> {
    const range = wakeRange(until)
    const start = wakeRange(from - 1).lt
    for await (const [key] of store.entries(from === 0 ? range : { ...range, gte: start })) yield toWake(key).run
  }

  /** Sets the alarm to the earliest deadline after `time`. */
  const setAlarm = async (time: number): Promise<void> => {
    for await (const [key] of store.entries({ ...wakeRange(), gte: wakeRange(time).lt, limit: 1 })) consider(toWake(key).time)
  }
  const consider = (at: number): void => {
    if (!isOn || isClosed || (alarm !== undefined && alarm.at <= at)) return
    if (alarm !== undefined) timers.clear(alarm.handle)
    alarm = { at, handle: timers.set(at, () => pass(ring(at))) }
  }
  const ring = async (at: number): Promise<void> => {
    alarm = undefined
    const time = Math.max(at, now())
    await forEach(due(at, time), activate)
    await setAlarm(time)
  }
  const pass = (work: Promise<void>): Promise<void> => {
    const guarded = work.catch((error: unknown) => {
      if (!isClosed) onBlocked('', error)
    })
    passes.add(guarded)
    guarded.finally(() => passes.delete(guarded))
    return work
  }

  return {
    resume() {
      isOn = true
      return pass(
        (async () => {
          const time = now()
          await forEach(withMessages(), takeMessages)
          await forEach(due(0, time), activate)
          await setAlarm(time)
        })(),
      )
    },
    consider,
    async close() {
      isClosed = true
      if (alarm !== undefined) timers.clear(alarm.handle)
      await Promise.all(passes)
    },
  }
}
