import {
  type Actor,
  type ActorOptions,
  type AnyActorRef,
  type AnyStateMachine,
  createActor,
  type EventObject,
  type InputFrom,
  type InspectionEvent,
  type Snapshot,
} from 'xstate'
import { provideSteps, readStepKey } from '../actors/step.ts'
import { isPerdureError, PerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { type DurableTimers, type StoredTimer, takeOverTimers, toPath } from './durable-timers.ts'
import { toHash } from './fingerprint.ts'
import { toMessageOperation } from './message.ts'
import { hasLiveParts, readPersisted } from './persisted.ts'
import { markRoot, restoreActor, startRestored } from './restore.ts'
import type { Services } from './services.ts'
import type { StepObserver } from './step-execution.ts'
import { createStepHost } from './step-host.ts'
import { recordTaken } from './taken.ts'

/**
 * An XState actor each of whose changes is committed: its snapshot, its timers, its steps and its messages to other runs, in one batch (P5). Machines of
 * users and agents run in the same way.
 */
export interface DurableActor<TMachine extends AnyStateMachine> {
  readonly actor: Actor<TMachine>
  /** When it goes on by itself: 0 while a promise, callback, observable or step of it is under way; else its earliest deadline. */
  readonly wakeAt: number | undefined
  start(): void
  /** Sends it an event from outside. */
  send(event: EventObject): void
  /**
   * Ends what is in flight, for `reason`: with that of {@link toLeaving}, or another of the store's, as a crash would; else it is cancelled. What is still to be
   * committed shows the run as it was before. Inspectors see it stop only if it `isOver`: what is merely dropped from memory goes on.
   */
  stop(reason: Error, isOver?: boolean): void
  /** Resolves when what was cancelled has said what it came to, and that is with the next commit; after a few seconds at the latest. */
  drain(): Promise<void>
}

/** How long what was cancelled may take to say what it came to. */
const DRAIN_MS = 5_000

/** Why a run that goes on later leaves memory. */
export const toLeaving = (run: string): PerdureError =>
  new PerdureError('STORE_CLOSED', `The run \`${run}\` left memory. It goes on when it is activated.`, { details: { run } })

/** What is recorded of an actor. */
export interface ActorRecord {
  readonly actor: Snapshot<unknown>
  readonly timers: readonly StoredTimer[]
  /** How many steps and actors were given a name so far. */
  readonly steps: number
  readonly actors: number
}

/** Where an actor starts from. */
export type Origin<TMachine extends AnyStateMachine> =
  | { readonly record: ActorRecord }
  | { readonly input: InputFrom<TMachine> | undefined }

export interface ActorObserver extends StepObserver {
  /** A batch is cut: the last moment to change what goes with it. */
  readonly onCut?: () => void
  /** What was cut is on disk. */
  readonly onWritten?: () => void
}

/**
 * Names actors. XState's own count is one of the process: an actor that was spawned without an id and restored would be overwritten by the next. Not in
 * the types of a system.
 */
interface NamingSystem {
  _bookId: () => string
}

type Stoppable = AnyActorRef & { _stop?: () => void }

/** Brings the steps that were in flight into memory, so that they are found again. */
export async function loadSteps(log: RunLog, snapshot: unknown): Promise<void> {
  if (typeof snapshot !== 'object' || snapshot === null) return // logic of a user's own may persist anything
  const key = readStepKey(snapshot)
  if (key !== undefined) await log.loadStep(key)
  const { children } = snapshot as { readonly children?: Readonly<Record<string, { readonly snapshot: unknown }>> }
  for (const child of Object.values(children ?? {})) await loadSteps(log, child.snapshot)
}

export function createDurableActor<TMachine extends AnyStateMachine>(
  services: Services,
  log: RunLog,
  machine: TMachine,
  origin: Origin<TMachine>,
  observer: ActorObserver,
): DurableActor<TMachine> {
  const record = 'record' in origin ? origin.record : undefined
  let steps = record?.steps ?? 0
  let actors = record?.actors ?? 0
  let recipients = new Set<string>()
  let written = new Set<string>()
  let committing: Promise<void> | undefined
  let stopped = false
  let lastWakeAt: number | undefined
  const actorsAlive = new Set<Stoppable>()

  let system: NamingSystem | undefined
  let transient = 0
  const toId = (): string => `x.${++actors}`
  // What is restored has its names already; these are for this process only.
  const toTransientId = record === undefined ? toId : (): string => `r.${++transient}`

  const commit = (): void => {
    if (stopped) return
    const promise = log.commit({ gather: true })
    if (promise === committing) return
    committing = promise
    promise.catch(observer.onBroken)
  }
  const options: ActorOptions<AnyStateMachine> = {
    inspect(event: InspectionEvent) {
      if (system === undefined) {
        system = (event.actorRef as AnyActorRef).system as AnyActorRef['system'] & NamingSystem // the root's; see there
        system._bookId = toTransientId
      }
      services.inspection.forward(log.id, event)
      if (event.type === '@xstate.actor') actorsAlive.add(event.actorRef as Stoppable) // an actor of this system
      if (event.type !== '@xstate.snapshot') return
      if ((event.snapshot as { readonly status?: string }).status !== 'active') actorsAlive.delete(event.actorRef as Stoppable)
      commit()
    },
  }
  const actor =
    'record' in origin
      ? restoreActor(log.id, machine, origin.record, options, toId)
      : create(log.id, machine, origin.input, options)
  if (system !== undefined) system._bookId = toId
  const { timers: queue } = services
  const isRecorded = log.head.taken !== undefined
  const toPending = (): readonly StoredTimer[] => {
    timers.prune()
    return timers.pending
  }
  const taken = isRecorded
    ? recordTaken(actor, { log, now: () => queue.now(), timers: toPending, isRestored: record !== undefined })
    : undefined
  const room = { timers: queue, takenAt: taken?.now }
  const timers: DurableTimers = takeOverTimers(room, log.id, actor, record?.timers ?? [], (timer, deliver) => {
    if (taken === undefined) deliver()
    else taken.fire(timer, deliver)
    commit() // even if nobody took its event
  })
  const host = createStepHost(services, log, observer)
  const { hashKey } = services.store
  provideSteps(actor.system, {
    ...host,
    ...(hashKey === undefined ? {} : { hash: (text) => toHash(text, hashKey) }),
    nameStep: (step: AnyActorRef) => `${toPath(step).join('/')}#${++steps}`,
    sendToRun(runId, event) {
      log.stage(toMessageOperation(services, runId, { from: log.id, sentAt: services.now(), event }))
      recipients.add(runId)
      commit()
    },
  })

  const read = (): ActorRecord => {
    timers.prune()
    return { actor: readPersisted(actor) as Snapshot<unknown>, timers: timers.pending, steps, actors }
  }
  const onWritten = (): void => {
    if (written.size > 0) {
      services.onMessages(written)
      written = new Set()
    }
    observer.onWritten?.()
  }
  const follow = (next: () => ActorRecord): void =>
    log.follow(() => {
      const value = next()
      observer.onCut?.()
      if (recipients.size > 0) {
        for (const runId of recipients) written.add(runId)
        recipients = new Set()
      }
      return value
    }, onWritten)
  follow(read)

  services.inspection.track(log.id, actor)
  return {
    actor,
    get wakeAt() {
      if (stopped) return lastWakeAt
      return hasLiveParts(actor) ? 0 : timers.nextAt
    },
    start() {
      const task = (): void => void (record === undefined ? actor.start() : startRestored(actor))
      if (taken === undefined) task()
      else taken.start(task)
    },
    send(event) {
      if (taken === undefined)
        actor.send(event as never) // whoever sends it knows the machine
      else taken.send(() => actor.send(event as never))
    },
    drain: () => host.drain(DRAIN_MS),
    stop(reason, isOver = false) {
      if (stopped) return
      if (isPerdureError(reason) && reason.code.startsWith('STORE_')) host.suspend(reason)
      lastWakeAt = hasLiveParts(actor) ? 0 : timers.nextAt
      stopped = true
      try {
        const last = read()
        follow(() => last)
      } catch {
        log.abandon() // it cannot be recorded, and so it stays as it is on disk
      }
      timers.stop()
      taken?.stop()
      if (!isOver) services.inspection.untrack(log.id)
      actor.stop()
      // A machine that threw leaves its children behind, at any depth; XState has no public way to stop them.
      for (const one of actorsAlive) one._stop?.()
      actorsAlive.clear()
      services.inspection.untrack(log.id)
    },
  }
}

function create<TMachine extends AnyStateMachine>(
  id: string,
  machine: TMachine,
  input: InputFrom<TMachine> | undefined,
  options: ActorOptions<AnyStateMachine>,
): Actor<TMachine> {
  // Whether `input` is required is not known of a generic machine.
  const actor = (createActor as (logic: TMachine, options: object) => Actor<TMachine>)(machine, { ...options, id, input })
  markRoot(actor)
  return actor
}
