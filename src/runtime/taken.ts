import { isDeepStrictEqual } from 'node:util'
import type { AnyActorRef, EventObject, StateValue } from 'xstate'
import { isStepLogic, readStepKey, type StepOutcome } from '../actors/step.ts'
import { isPerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { type StoredTimer, toPath } from './durable-timers.ts'
import { toHash } from './fingerprint.ts'
import { isMachine } from './machine-structure.ts'

/**
 * What the actors of a machine's run take from outside of them, in the order in which they take it: with it, the run can be played again. All else that happens in them follows from it.
 * Each is a record beside the journal, in the commit of the transition that it led to (P5), and costs no sync of its own. Of what led to nothing the last may be
 * lost with the process.
 */

/** Names the record of what was taken as `n`-th, from 0. */
export const takenKey = (n: number): string => `${TAKEN_KEYS}${String(n).padStart(9, '0')}`
/** Where those records are among the steps. */
export const TAKEN_KEYS = 'machine/taken/'
/** Their `kind`: they are none of the steps that anybody asked for. */
export const TAKEN = 'taken'

/** What was taken. Actors are named by their path: child ids from the root down; `[]` is the root. */
export type TakenInput =
  /** The run began. Its input is beside it. */
  | { readonly name: 'start' }
  /** It was sent an event: by `run.send`, by another run, or by code that knows one of its actors. Without `target`, the root was. */
  | { readonly name: 'event'; readonly event: EventObject; readonly target?: readonly string[] | undefined }
  /** A delayed event came. */
  | { readonly name: 'timer'; readonly id: string; readonly source: readonly string[]; readonly dueAt: number }
  /** A step settled: as its record says, unless `outcome` is there. `input`: a hash of what it was given. */
  | {
      readonly name: 'step'
      readonly key: string
      readonly input?: string | undefined
      readonly outcome?: StepOutcome<unknown> | undefined
    }
  /** A promise, callback or observable told something: itself, or its parent. */
  | { readonly name: 'actor'; readonly source: readonly string[]; readonly isParent: boolean; readonly event: EventObject }
  /** Something that cannot be stored. */
  | { readonly name: 'lost'; readonly why: string }

export type Taken = TakenInput & {
  /** The state value that it led to, if it led to another. */
  readonly state?: StateValue | undefined
  /** It was taken within the same stretch as the next one: only that one tells the state. */
  readonly isJoined?: true | undefined
}

/** Writes down what a system of actors takes. */
export interface TakenRecorder {
  /** The time, in epoch milliseconds: while something is taken, that of taking it. So a delay is the same when it is played again. */
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
type Relay = (source: AnyActorRef | undefined, target: AnyActorRef, event: EventObject) => void

export interface TakenRoom {
  readonly log: RunLog
  readonly now: () => number
  /** Whether the run has begun before. */
  readonly isRestored: boolean
}

/** To be called before anybody else looks at how the actors of `root` reach each other. */
export function recordTaken(root: AnyActorRef, { log, now, isRestored }: TakenRoom): TakenRecorder {
  const system = root.system as AnyActorRef['system'] & { _relay: Relay } // see `Relay`
  const relay = system._relay
  let count = log.head.taken ?? 0
  let depth = 0
  let at = 0
  /** What is being taken: who sends next, if that is known. */
  let origin: StoredTimer | 'outside' | undefined
  let taken: TakenInput[] = []
  let state: StateValue | undefined = isRestored ? root.getSnapshot().value : undefined

  const put = (input: Taken): void => {
    const { name, ...value } = input
    const key = takenKey(count)
    const record = { kind: TAKEN, name, status: 'ok', attempt: 1, startedAt: at } as const
    try {
      log.putTaken(key, { ...record, value })
    } catch (error) {
      if (!isPerdureError(error, 'VALUE_NOT_STORABLE')) throw error
      const { state: led, isJoined } = input
      log.putTaken(key, { ...record, name: 'lost', value: { why: error.message, state: led, isJoined } })
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
    put(isDeepStrictEqual(value, state) ? last : { ...last, state: value })
    state = value
  }
  const within = (task: () => void, input: TakenInput | undefined): void => {
    if (depth++ === 0) at = now()
    if (input !== undefined) taken.push(input)
    try {
      task()
    } finally {
      if (--depth === 0) putAll()
    }
  }

  /** `undefined`: it follows from what is being taken. */
  const toInput = (source: AnyActorRef | undefined, target: AnyActorRef, event: EventObject): TakenInput | undefined => {
    const from = origin
    origin = undefined
    if (typeof from === 'object') return { name: 'timer', id: from.id, source: from.source, dueAt: from.dueAt }
    if (target.getSnapshot().status !== 'active') return undefined // it takes nothing
    if (source === undefined && event.type === 'perdure.settled') return toSettled(log, target, event)
    if (source !== undefined && isEffect(source) && !isReport(event))
      return { name: 'actor', source: toPath(source), isParent: target !== source, event }
    if (depth > 0 && from === undefined) return undefined
    return target === root ? { name: 'event', event } : { name: 'event', target: toPath(target), event }
  }
  system._relay = (source, target, event) => {
    const input = toInput(source, target, event)
    within(() => relay(source, target, event), input)
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
    now: () => (depth > 0 ? at : now()),
    start: (task) => within(task, isRestored ? undefined : { name: 'start' }),
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

/** What XState tells a parent of what became of its child. */
const isReport = ({ type }: EventObject): boolean => /^xstate\.(done\.actor|error\.actor|snapshot)\./.test(type)

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
