import type { AnyMachineSnapshot, AnyStateMachine, EventObject } from 'xstate'
import { isPerdureError, PerdureError } from '../errors.ts'
import { encodeRecord } from '../persistence/codec.ts'
import { eventKey, inboxRange } from '../persistence/keys.ts'
import type { RunLog, RunStatus } from '../persistence/run-log.ts'
import { createDurableActor, type Origin, toLeaving } from './durable-actor.ts'
import { tell } from './listener.ts'
import { type MachineHead, readMachineHead } from './machine-head.ts'
import { readMessage } from './message.ts'
import { toRecordedError } from './recorded-error.ts'
import { isUnwritable, toEnded } from './run-errors.ts'
import type { Services } from './services.ts'
import { countSpend, NO_SPEND } from './spend.ts'
import type { Watchers } from './watchers.ts'

/** A machine's run in memory. Keeps P1 (what resolves is on disk) and P5 (an event is consumed in the commit of what it led to). */
export interface MachineActivation {
  readonly id: string
  /** `broken`: what memory holds could not be recorded. `stopped`: it left memory. */
  readonly state: 'active' | 'ended' | 'broken' | 'stopped'
  /** Why it is `broken`. */
  readonly failure: unknown
  /** Nothing of it is under way or being written: it can be passivated. */
  readonly isIdle: boolean
  readonly wakeAt: number | undefined
  start(): void
  /** Hands it an event from outside; resolves when what it led to is on disk. An event whose `eventId` was taken before is not taken again. */
  deliver(event: EventObject, eventId: string | undefined): Promise<void>
  /** Takes the messages of other runs that wait on disk. */
  takeMessages(): Promise<void>
  /** The state as it is on disk, with everything that has happened up to now. */
  snapshot(): Promise<AnyMachineSnapshot>
  cancel(reason: string | undefined): Promise<void>
  /** Resolves when all changes up to now are on disk. */
  commit(): Promise<void>
  stop(): void
  /** Nothing more of it is written, also not what waits to be. */
  abandon(): void
  /** Resolves when nothing of it is being written any more. Never rejects. */
  drained(): Promise<void>
}

/** It is no longer what the run is: ask for the run again. */
export const gone = new Error('This activation has been replaced')

export interface ActivationOwner {
  /** It came to its end, and that is on disk. */
  readonly onEnded: (activation: MachineActivation) => void
  /** It is `broken`. `fromOutside`: it may be what somebody sent, who is told; without that event the run can go on. */
  readonly onBroken: (activation: MachineActivation, error: unknown, fromOutside: boolean) => void
}

export function createMachineActivation(
  services: Services,
  watchers: Watchers,
  log: RunLog,
  machine: AnyStateMachine,
  origin: Origin<AnyStateMachine>,
  owner: ActivationOwner,
): MachineActivation {
  const { id } = log
  let state: MachineActivation['state'] = 'active'
  /** What watchers are to hear when it is on disk. */
  let heard: (() => void)[] = []
  let cutHeard: (() => void)[] = []
  /** Events from outside since the last cut, and those of the cut. */
  let outside = 0
  let cutOutside = 0
  let messages: Promise<void> | undefined
  let moreMessages = false
  let queue: Promise<unknown> | undefined
  /** Ids of events that are not on disk yet. */
  let takenIds = new Set<string>()
  let cutIds = new Set<string>()
  /** The state that it is left in; without, the actor's. */
  let final: AnyMachineSnapshot | undefined
  let failure: unknown

  const hear = (notify: () => void): void => {
    if (watchers.of(id) !== undefined) heard.push(notify)
  }
  /** Why it is not what the run is any more. Another may take what it did not; unless the store takes nothing. */
  const toReplaced = (): unknown => {
    if (state === 'stopped' || (state === 'broken' && isUnwritable(failure))) return gone
    return state === 'broken' ? failure : undefined
  }
  const refuse = (error: unknown): never => {
    const replaced = isPerdureError(error, 'ABORTED') ? toReplaced() : undefined
    if (replaced !== undefined) throw replaced // it was not written
    throw toRefused(error, id, actor.getSnapshot())
  }
  const commit = (): Promise<void> => log.commit().catch(refuse)

  const end = (status: RunStatus, change: Partial<MachineHead> = {}): void => {
    const data: MachineHead = { ...readMachineHead(log.head), ...change }
    log.update({ status, endedAt: services.now(), wakeAt: undefined, data })
  }
  const durable = createDurableActor(services, log, machine, origin, {
    checkpoint: () => '',
    onText: () => {},
    onDoubt: () => {},
    onSpend(spend, children = NO_SPEND) {
      if (spend.modelCalls === 0 && spend.toolCalls === 0) return // a step of its own: only time
      const head = readMachineHead(log.head)
      log.update({ data: { ...head, ...countSpend(head, spend, children) } }) // P12
    },
    onOver: (key) => log.releaseStep(key),
    onBroken: breakOff,
    onCut() {
      const { status, error } = actor.getSnapshot()
      if (log.head.endedAt === undefined) {
        if (status === 'done') end('completed')
        else if (status === 'error') end('failed', { error: toRecordedError(error) })
        else if (log.head.wakeAt !== durable.wakeAt) log.update({ wakeAt: durable.wakeAt })
      }
      cutOutside = outside
      outside = 0
      if (heard.length > 0) {
        cutHeard.push(...heard)
        heard = []
      }
      if (takenIds.size > 0) {
        for (const key of takenIds) cutIds.add(key)
        takenIds = new Set()
      }
      cutSnapshot = final ?? actor.getSnapshot()
    },
    onWritten() {
      durableSnapshot = cutSnapshot
      if (cutIds.size > 0) cutIds = new Set()
      cutOutside = 0
      if (cutHeard.length > 0) {
        const notifications = cutHeard
        cutHeard = []
        for (const notify of notifications) notify()
      }
      if (log.head.endedAt === undefined || state !== 'active') return
      state = 'ended'
      if (final === undefined) stopActor(toEnded(id)) // what it left under way is cancelled
      tellEnd()
      for (const watcher of [...(watchers.of(id) ?? [])]) tell(watcher.onEnd, { head: log.head, snapshot: durableSnapshot })
      owner.onEnded(activation)
    },
  })
  const { actor } = durable
  let durableSnapshot: AnyMachineSnapshot = actor.getSnapshot()
  let cutSnapshot = durableSnapshot

  function tellEnd(): void {
    services.streams.end(id)
    const { name, status, createdAt: runCreatedAt } = log.head
    const about = { runId: id, runCreatedAt, name }
    const { error, reason } = readMachineHead(log.head)
    if (status === 'completed') services.emit({ type: 'machine.completed', ...about })
    else if (status === 'failed') services.emit({ type: 'machine.failed', ...about, error })
    else services.emit({ type: 'machine.cancelled', ...about, reason })
  }
  function breakOff(cause: unknown): void {
    if (state !== 'active') return
    state = 'broken'
    const error = toRefused(cause, id, actor.getSnapshot())
    failure = error
    log.abandon()
    stopActor()
    owner.onBroken(activation, error, outside + cutOutside > 0)
  }
  const stopActor = (reason: Error = toLeaving(id), isOver = false): void => durable.stop(reason, isOver)

  actor.subscribe({
    next(snapshot) {
      hear(() => {
        for (const watcher of [...(watchers.of(id) ?? [])]) tell(watcher.onSnapshot, snapshot)
      })
    },
    error: () => void commit().catch(breakOff), // XState tells of no snapshot then: nobody else asks for a batch
  })
  actor.on('*', (event: EventObject) =>
    hear(() => {
      for (const watcher of [...(watchers.of(id) ?? [])]) tell(watcher.onEmitted, event)
    }),
  )

  /** One after the other, in the order of asking. */
  const inOrder = <T>(task: () => Promise<T>): Promise<T> => {
    const result = queue === undefined ? task() : queue.then(task)
    const last = result
      .catch(() => {})
      .then(() => {
        if (queue === last) queue = undefined
      })
    queue = last
    return result
  }
  const isOver = (): boolean => state !== 'active' || final !== undefined || actor.getSnapshot().status !== 'active'
  /** Says why it takes no more events; that it has ended only when that is on disk. */
  const refuseEvents = async (): Promise<never> => {
    if (state === 'active') await commit()
    throw toReplaced() ?? toEnded(id)
  }
  const take = (event: EventObject): Promise<void> => {
    if (isOver()) return refuseEvents()
    outside++
    durable.send(event)
    return commit()
  }
  const isTaken = async (key: string): Promise<boolean> =>
    takenIds.has(key) || cutIds.has(key) || (await services.store.get(key)) !== undefined

  const readMessages = async (): Promise<void> => {
    try {
      do {
        moreMessages = false
        // All that an earlier pass took is gone from the disk. Numbers tell nothing: one may be written after a higher one of another run.
        for await (const [key, bytes] of services.store.entries(inboxRange(id))) {
          if (isOver()) return // what is left is dropped by the owner
          const { event } = readMessage(key, bytes)
          log.stage({ type: 'del', key })
          durable.send(event)
        }
        await commit()
      } while (moreMessages)
    } finally {
      messages = undefined // with the last look at `moreMessages`: who comes later begins anew
    }
  }

  const activation: MachineActivation = {
    id,
    get state() {
      return state
    },
    get isIdle() {
      return state === 'active' && !log.isCommitting && queue === undefined && messages === undefined && durable.wakeAt !== 0
    },
    get wakeAt() {
      return durable.wakeAt
    },
    get failure() {
      return failure
    },
    abandon: () => log.abandon(),
    async drained() {
      await durable.drain()
      await log.commit().catch(() => {})
    },
    start() {
      durable.start()
      commit().catch(breakOff)
    },
    deliver(event, eventId) {
      if (eventId === undefined && queue === undefined) return take(event)
      const written: { done?: Promise<void> } = {}
      const taking = inOrder(async () => {
        if (eventId === undefined) {
          written.done = take(event)
        } else {
          const key = eventKey(id, eventId)
          if (!(await isTaken(key))) {
            if (isOver()) await refuseEvents()
            takenIds.add(key)
            log.stage({ type: 'put', key, value: encodeRecord(key, services.now()) })
            written.done = take(event)
          }
        }
        written.done?.catch(() => {})
      })
      return taking.then(() => written.done ?? (state === 'active' || state === 'ended' ? commit() : refuseEvents()))
    },
    takeMessages() {
      moreMessages = true
      messages ??= readMessages().catch(breakOff)
      return messages
    },
    async snapshot() {
      await commit()
      return durableSnapshot
    },
    async cancel(reason) {
      if (isOver()) await refuseEvents()
      end('cancelled', reason === undefined ? {} : { reason })
      final = actor.getSnapshot()
      stopActor(new PerdureError('RUN_CANCELLED', `The run \`${id}\` was cancelled.`, { details: { run: id, reason } }), true)
      await commit().catch((error: unknown) => {
        breakOff(error)
        throw error
      })
      await durable.drain() // the record says what had settled
    },
    commit,
    stop() {
      if (state !== 'active') return
      state = 'stopped'
      stopActor()
    },
  }
  return activation
}

/** Says where the machine was when it came to hold what cannot be kept. */
function toRefused(error: unknown, run: string, snapshot: AnyMachineSnapshot): unknown {
  if (!isPerdureError(error, 'VALUE_NOT_STORABLE') || error.details.run !== undefined) return error
  const state = JSON.stringify(snapshot.value)
  const message = error.message.replace('at `actor.', 'at `')
  return new PerdureError('VALUE_NOT_STORABLE', `Run \`${run}\` in state ${state}: ${message}`, {
    cause: error,
    details: { ...error.details, path: toOwnPath(error.details.path), run, state: snapshot.value },
  })
}

/** A path in the machine's snapshot: what it is recorded in is left out. */
const toOwnPath = (path: unknown): unknown => (Array.isArray(path) && path[0] === 'actor' ? path.slice(1) : path)
