import type { AnyActorRef, EventObject } from 'xstate'
import { toCorrupt } from './recorded.ts'
import { findActor } from './restore.ts'
import type { TimerHandle, TimerQueue } from './timer-queue.ts'

/**
 * The delayed events of one run: `after`, `raise` and `sendTo` with a delay. XState keeps them out of its persisted snapshot and never arms them
 * again; here they are data, written in the same commit as the transition that set or cancelled them (P5, P8).
 */
export interface StoredTimer {
  readonly id: string
  /** Who set it and who gets the event: child ids from the root down; `[]` is the root. */
  readonly source: readonly string[]
  readonly target: readonly string[]
  readonly event: EventObject
  /** Epoch milliseconds. */
  readonly dueAt: number
  /** How long after what led to it had been taken it was set, in milliseconds: it comes that much later than a replay has it, where nothing takes time. Default: 0. */
  readonly lagMs?: number | undefined
  /** As in XState, an id is that of the last event that was set under it, until one of them fires: this one can no longer be cancelled by it. */
  readonly isFree?: true
}

export interface DurableTimers {
  /** In the order in which they were set. Another array after each change. */
  readonly pending: readonly StoredTimer[]
  /** The earliest deadline. */
  readonly nextAt: number | undefined
  /** Lets one come, whatever the time. */
  fire(timer: StoredTimer): void
  /** Forgets those whose source or target is no more: its name may be another's. */
  prune(): void
  /** Lets go of the process's timers; what is pending stays so. */
  stop(): void
}

/** The latest time that a `Date` can be: what never comes waits for it. */
const LATEST = 8.64e15

interface Armed {
  timer: StoredTimer
  readonly source: AnyActorRef
  readonly target: AnyActorRef
  readonly handle: TimerHandle
  readonly come: () => void
}

/** The ids that lead from the root of its system to `actor`. */
export function toPath(actor: AnyActorRef): string[] {
  const path: string[] = []
  for (let at: AnyActorRef | undefined = actor; at?._parent !== undefined; at = at._parent) path.unshift(at.id)
  return path
}

/** Takes over the delayed events of `root`, which must not have been started, and arms those that were `stored`. */
export function takeOverTimers(
  /** `takenAt`: the time of taking what they follow from. Default: now. */
  room: { readonly timers: Pick<TimerQueue, 'now' | 'set' | 'clear'>; readonly takenAt?: (() => number) | undefined },
  run: string,
  root: AnyActorRef,
  stored: readonly StoredTimer[],
  /** The time of one has come, and it is no longer pending: `deliver` hands out its event, if anybody takes it. */
  fire: (timer: StoredTimer, deliver: () => void) => void,
): DurableTimers {
  // Not in the types of a system, but what its own scheduler calls when a time has come.
  const { scheduler, _relay: relay } = root.system as AnyActorRef['system'] & {
    readonly _relay: (source: AnyActorRef, target: AnyActorRef, event: EventObject) => void
  }
  let pending: readonly StoredTimer[] = stored
  let armed: Armed[] = []
  let unnamed = 0
  let stopped = false

  const remove = (one: Armed): void => {
    armed = armed.filter((other) => other !== one)
    pending = pending.filter((timer) => timer !== one.timer)
  }
  const arm = (timer: StoredTimer, source: AnyActorRef, target: AnyActorRef): void => {
    const come = (): void => {
      remove(one)
      freeId(source, timer.id)
      fire(timer, () => relay(source, target, timer.event))
    }
    const one: Armed = { timer, source, target, come, handle: room.timers.set(timer.dueAt, come) }
    armed.push(one)
  }
  const cancel = (one: Armed): void => {
    room.timers.clear(one.handle)
    if (!stopped) remove(one)
  }
  const find = (path: readonly string[]): AnyActorRef => {
    const at = findActor(root, path)
    if (at === undefined) throw toCorrupt(run, `a timer belongs to its child \`${path.join('/')}\`, which it does not have`)
    return at
  }
  const toId = (source: AnyActorRef): string => {
    let id: string
    do id = `perdure.${unnamed++}`
    while (armed.some((one) => one.source === source && one.timer.id === id))
    return id
  }

  const findHolder = (source: AnyActorRef, id: string): Armed | undefined =>
    armed.find(({ timer, source: owner }) => owner === source && timer.id === id && timer.isFree === undefined)
  const freeId = (source: AnyActorRef, id: string): void => {
    const holder = findHolder(source, id)
    if (holder === undefined) return
    const { timer } = holder
    holder.timer = { ...timer, isFree: true }
    pending = pending.map((other) => (other === timer ? holder.timer : other))
  }

  // The system calls these through the object, so all of its actors come here.
  scheduler.schedule = (source, target, event, delay, id) => {
    if (target.system !== root.system)
      throw new TypeError(
        `Expected the target of the delayed event \`${event.type}\` to belong to run \`${run}\`, got an actor of another system`,
      )
    if (id !== undefined) freeId(source, id)
    const toDueAt = (from: number): number => Math.min(from + Math.max(0, Number.isNaN(delay) ? 0 : delay), LATEST)
    const now = room.timers.now()
    const dueAt = toDueAt(now) // never before it has passed, however long the transition took
    const lagMs = dueAt - toDueAt(room.takenAt?.() ?? now)
    const place = { source: toPath(source), target: toPath(target) }
    const timer: StoredTimer = { id: id ?? toId(source), ...place, event, dueAt, ...(lagMs === 0 ? {} : { lagMs }) }
    pending = [...pending, timer]
    arm(timer, source, target)
  }
  scheduler.cancel = (source, id) => {
    const one = findHolder(source, id)
    if (one !== undefined) cancel(one)
  }
  scheduler.cancelAll = (source) => {
    for (const one of armed.filter((other) => other.source === source)) cancel(one)
  }
  for (const timer of stored) arm(timer, find(timer.source), find(timer.target))

  const isThere = (actor: AnyActorRef, path: readonly string[]): boolean => findActor(root, path) === actor

  return {
    get pending() {
      return pending
    },
    get nextAt() {
      return pending.length === 0 ? undefined : Math.min(...pending.map(({ dueAt }) => dueAt))
    },
    fire(timer) {
      const one = armed.find((other) => other.timer === timer)
      if (one === undefined) return
      room.timers.clear(one.handle)
      one.come()
    },
    prune() {
      for (const one of armed) if (!isThere(one.target, one.timer.target) || !isThere(one.source, one.timer.source)) cancel(one)
    },
    stop() {
      stopped = true
      for (const { handle } of armed) room.timers.clear(handle)
    },
  }
}
