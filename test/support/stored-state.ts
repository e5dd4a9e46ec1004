import { type AnyActorRef, type AnyStateMachine, createActor, type EventObject } from 'xstate'
import { decodeRecord, encodeRecord } from '../../src/persistence/codec.ts'
import { type StoredTimer, toPath } from '../../src/runtime/durable-timers.ts'
import { readPersisted } from '../../src/runtime/persisted.ts'

/** What a run leaves on disk. */
export interface LeftState {
  readonly actor: Record<string, unknown>
  readonly timers: readonly StoredTimer[]
}

/** Runs `machine` through `events` and gives what would be read from the disk after that: its snapshot, and its delayed events. */
export function leave(machine: AnyStateMachine, ...events: readonly (string | EventObject)[]): LeftState {
  const never = { setTimeout: () => 0, clearTimeout: () => {} }
  const actor = createActor(machine, { clock: never }).start()
  for (const event of events) actor.send(typeof event === 'string' ? { type: event } : event)
  // Not in the types of a system, but what its own `getSnapshot` gives.
  const scheduled = Object.values(actor.system.getSnapshot()._scheduledEvents) as {
    readonly id: string
    readonly source: AnyActorRef
    readonly target: AnyActorRef
    readonly event: EventObject
    readonly delay: number
  }[]
  const timers = scheduled.map(({ id, source, target, event, delay }) => ({
    id,
    source: toPath(source),
    target: toPath(target),
    event,
    dueAt: delay,
  }))
  const left = decodeRecord('left', encodeRecord('left', { actor: readPersisted(actor), timers }))
  actor.stop()
  return left as LeftState // as it was encoded
}
