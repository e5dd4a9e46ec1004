import { type AnyActorRef, type AnyStateMachine, createActor, type EventObject, type InspectionEvent } from 'xstate'
import { provideSteps } from '../actors/step.ts'
import { decodeRecord, encodeRecord } from '../persistence/codec.ts'
import { type StoredTimer, takeOverTimers, toPath } from '../runtime/durable-timers.ts'
import { readPersisted } from '../runtime/persisted.ts'
import { findActor, markRoot } from '../runtime/restore.ts'
import { isEffect, type RelayingSystem } from '../runtime/taken.ts'
import { type MachineState, type PersistedActor, toMachineState } from './machine-recording.ts'
import type { ReplayedSteps } from './machine-steps.ts'

/** A machine that runs in memory and takes only what it is given. Its promises, callbacks and observables do nothing, and its time stands still. */
export interface MachineStage {
  readonly root: AnyActorRef
  /** The delayed events that are pending, in the order in which they were set. */
  readonly timers: () => readonly StoredTimer[]
  /** Lets something happen at `time`, with all that follows from it. What else is sent to its actors is not taken. */
  give(time: number, task: () => void): void
  start(): void
  send(target: readonly string[], event: EventObject): boolean
  /** What an actor told, named by its path or as it is: itself, or its parent. False: there is none. */
  tell(source: readonly string[] | AnyActorRef, isParent: boolean, event: EventObject): boolean
  fire(timer: StoredTimer): void
  /** What its actors have come to, as it would have been recorded. Errors: `VALUE_NOT_STORABLE`. */
  read(): MachineState
  stop(): void
}

export interface MachineStageOptions {
  readonly id: string
  readonly input: unknown
  readonly steps: ReplayedSteps
  /** A step is about to settle; called with its snapshot before. */
  readonly onSettling: (snapshot: unknown) => void
  /** A promise, callback or observable would be started, or was told something: what it told at once, it tells now. */
  readonly onActing: (actor: AnyActorRef) => void
}

export function openMachineStage(machine: AnyStateMachine, options: MachineStageOptions): MachineStage {
  const { id, input, steps, onSettling, onActing } = options
  let time = 0
  let isGiving = false
  let actors = 0
  let unnamed = 0
  let isNamed = false

  // Whether `input` is required is not known of a generic machine.
  const root = (createActor as (logic: AnyStateMachine, options: object) => AnyActorRef)(machine, {
    id,
    input,
    logger: () => {},
    inspect(event: InspectionEvent) {
      if (event.type !== '@xstate.actor') return
      const actor = event.actorRef as AnyActorRef // an actor of this system
      if (!isNamed) Object.assign(actor.system, { _bookId: () => `x.${++actors}` }) // as `durable-actor.ts` does
      isNamed = true
      if (isEffect(actor)) silence(actor, onActing)
    },
  })
  markRoot(root)
  const relayed = root.system as AnyActorRef['system'] & RelayingSystem // see there
  const relay = relayed._relay
  relayed._relay = (source, target, event) => {
    if (!isGiving) return // it came from outside then too, and comes when it did
    if (event.type === 'perdure.settled') onSettling(target.getSnapshot())
    relay(source, target, event)
  }
  const still = { now: () => time, set: (dueAt: number) => ({ dueAt }), clear: () => {} }
  const timers = takeOverTimers({ timers: still }, id, root, [], (_, deliver) => deliver())
  provideSteps(root.system, {
    ...steps,
    nameStep: (step) => `${toPath(step).join('/')}#${++unnamed}`,
    sendToRun: () => {},
  })
  root.subscribe({ error: () => {} }) // it is in its state

  return {
    root,
    timers() {
      timers.prune()
      return timers.pending
    },
    give(at, task) {
      time = at
      isGiving = true
      try {
        task()
      } finally {
        isGiving = false
      }
    },
    start: () => void root.start(),
    send(path, event) {
      const target = findActor(root, path)
      target?.send(event)
      return target !== undefined
    },
    tell(one, isParent, event) {
      const source = 'system' in one ? one : findActor(root, one)
      const target = isParent ? source?._parent : source
      if (source === undefined || target === undefined) return false
      relay(source, target, event)
      return true
    },
    fire: (timer) => timers.fire(timer),
    read: () => toMachineState(decodeRecord('', encodeRecord('', readPersisted(root))) as PersistedActor), // as XState persists any
    stop: () => void (root as AnyActorRef & { stop(): void }).stop(),
  }
}

/** What it would do outside is not done; what it told then, it is told to tell. */
function silence(actor: AnyActorRef, onActing: (actor: AnyActorRef) => void): void {
  const own = actor as AnyActorRef & { logic: { transition: (snapshot: unknown, event: EventObject, scope: unknown) => unknown } } // any actor has it
  const { logic } = own
  own.logic = Object.assign(Object.create(logic) as typeof logic, {
    start: () => onActing(actor),
    transition(snapshot: object, event: EventObject, scope: unknown): unknown {
      if (event.type === 'xstate.stop') return { ...snapshot, status: 'stopped' }
      onActing(actor)
      try {
        return logic.transition(snapshot, event, scope)
      } catch {
        return snapshot // a callback hands its events to its own code, which was not started
      }
    },
  })
}
