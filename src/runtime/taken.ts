import { isDeepStrictEqual } from 'node:util'
import type { AnyActorRef, EventObject, StateValue } from 'xstate'
import { isStepLogic, readStepKey, type StepOutcome } from '../actors/step.ts'
import { isPerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { type StoredTimer, toPath } from './durable-timers.ts'
import { toHash } from './fingerprint.ts'
import { isMachine } from './machine-structure.ts'
import { isUnwritable } from './run-errors.ts'
import {
  type PendingTimers,
  type Taken,
  type TakenInput,
  takenKey,
  toPendingTimers,
  toReplayedDueAt,
  toTakenRecord,
} from './taken-record.ts'

/**
 * Writes down what the actors of a machine's run take from outside of them, in the order in which they take it: with it, the run can be played again. All else that happens in them follows
 * from it. Each is a record beside the journal, in the commit of the transition that it led to (P5), and costs no sync of its own. Of what led to nothing the last may be lost with the process.
 */
export interface TakenRecorder {
  /** The time, in epoch milliseconds: while something is taken, that of taking it. From there a replay counts delays. */
  now(): number
  /** Starts the actors, for the first time or restored: what they do then follows from it. */
  start(task: () => void): void
  /** What `task` sends comes from outside, whatever is under way. */
  send(task: () => void): void
  /** Lets a delayed event come. */
  fire(timer: StoredTimer, deliver: () => void): void
  /** Nothing is written down from now on. */
  stop(): void
}

/** Not in the types of a system, but what its actors call to reach each other, and whoever sends to one of them. */
export interface RelayingSystem {
  _relay: (source: AnyActorRef | undefined, target: AnyActorRef, event: EventObject) => void
}

export interface TakenRoom {
  readonly log: RunLog
  readonly now: () => number
  /** The delayed events that are pending. */
  readonly timers: () => readonly StoredTimer[]
  /** Whether the run has begun before. */
  readonly isRestored: boolean
}

/** To be called before anybody else looks at how the actors of `root` reach each other. */
export function recordTaken(root: AnyActorRef, { log, now, timers, isRestored }: TakenRoom): TakenRecorder {
  const system = root.system as AnyActorRef['system'] & RelayingSystem // see there
  const relay = system._relay
  let count = log.head.taken ?? 0
  /** What is being handed out, from the outermost on. */
  const stack: { readonly source: AnyActorRef | undefined; readonly target: AnyActorRef | undefined }[] = []
  let at = 0
  /** Who sends next, if that is known. */
  let origin: StoredTimer | 'outside' | undefined
  let taken: TakenInput[] = []
  let state: StateValue | undefined = isRestored ? root.getSnapshot().value : undefined
  let pending: PendingTimers = [0, undefined]

  const put = (one: Taken): void => {
    try {
      log.putTaken(takenKey(count), toTakenRecord(one, at))
    } catch (error) {
      if (!isUnwritable(error)) throw error
      const { state: led, timers: left, isJoined } = one
      log.putTaken(takenKey(count), toTakenRecord({ name: 'lost', why: error.message, state: led, timers: left, isJoined }, at))
    }
    count++
  }
  const putAll = (): void => {
    const all = taken
    taken = []
    const last = all.pop()
    if (last === undefined) return
    for (const one of all) put({ ...one, isJoined: true })
    const { value } = root.getSnapshot()
    const left = toPendingTimers(timers())
    const isMoved = value !== state && !isDeepStrictEqual(value, state)
    const isOther = left[0] !== pending[0] || left[1] !== pending[1]
    if (isMoved || isOther) put({ ...last, ...(isMoved ? { state: value } : {}), ...(isOther ? { timers: left } : {}) })
    else put(last)
    state = value
    pending = left
  }
  const within = (task: () => void, input: TakenInput | undefined, source?: AnyActorRef, target?: AnyActorRef): void => {
    if (stack.length === 0) at = now()
    if (input !== undefined) taken.push(input)
    stack.push({ source, target })
    try {
      task()
    } finally {
      stack.pop()
      if (stack.length === 0) putAll()
    }
  }

  /** What an effect tells, or fails with, is no consequence of what it was told, unless it had told itself. */
  const isOwn = (source: AnyActorRef, { type }: EventObject): boolean =>
    isEffect(source) &&
    !/^xstate\.(done\.actor|snapshot)\./.test(type) &&
    !(type.startsWith('xstate.error.actor.') && stack.some((one) => one.source === source && one.target === source))

  /** `undefined`: it follows from what is being taken. */
  const toInput = (source: AnyActorRef | undefined, target: AnyActorRef, event: EventObject): TakenInput | undefined => {
    const from = origin
    origin = undefined
    if (typeof from === 'object')
      return { name: 'timer', type: from.event.type, source: from.source, dueAt: toReplayedDueAt(from) }
    if (target.getSnapshot().status !== 'active') return undefined // it takes nothing
    if (source === undefined && event.type === 'perdure.settled') return toSettled(log, target, event)
    if (source !== undefined && isOwn(source, event))
      return { name: 'actor', source: toPath(source), isParent: target !== source, event }
    if (stack.length > 0 && from === undefined) return undefined
    return target === root ? { name: 'event', event } : { name: 'event', target: toPath(target), event }
  }
  system._relay = (source, target, event) => {
    const input = toInput(source, target, event)
    within(() => relay(source, target, event), input, source, target)
  }

  const as = (sender: StoredTimer | 'outside', task: () => void): void => {
    origin = sender
    try {
      task()
    } finally {
      origin = undefined
    }
  }
  return {
    now: () => (stack.length > 0 ? at : now()),
    start(task) {
      pending = toPendingTimers(timers()) // those that were stored
      within(task, isRestored ? undefined : { name: 'start' })
    },
    send: (task) => as('outside', task),
    fire: (timer, deliver) => as(timer, deliver),
    stop() {
      system._relay = relay
    },
  }
}

/** Whether it does something outside by itself and is no step: a promise, a callback, an observable, or logic of a user's own. */
export function isEffect(actor: AnyActorRef): boolean {
  const { logic } = actor as AnyActorRef & { readonly logic: object } // any actor has it
  return 'start' in logic && !isMachine(logic) && !isStepLogic(logic)
}

function toSettled(log: RunLog, step: AnyActorRef, event: EventObject): TakenInput {
  const snapshot: unknown = step.getSnapshot()
  const key = readStepKey(snapshot) ?? '' // whoever settled it had named it
  const { outcome } = event as unknown as { readonly outcome: StepOutcome<unknown> } // see `toStepLogic`
  const record = log.step(key)
  const isRecorded = outcome.status === 'ok' && record?.status === 'ok' && record.value === outcome.value // an error gives way to the next try
  const input = record?.kind === 'step' ? toInputHash(snapshot) : undefined
  return { name: 'step', key, ...(input === undefined ? {} : { input }), ...(isRecorded ? {} : { outcome }) }
}

/** A hash of what the step was given whose snapshot it is. `undefined`: nothing, or what has none. */
export function toInputHash(snapshot: unknown): string | undefined {
  const { input } = snapshot as { readonly input?: unknown } // a step's
  if (input === undefined) return undefined
  try {
    return toHash(input)
  } catch (error) {
    if (!isPerdureError(error, 'VALUE_NOT_STORABLE')) throw error
    return undefined
  }
}
