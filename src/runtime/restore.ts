import {
  type Actor,
  type ActorOptions,
  type AnyActorRef,
  type AnyStateMachine,
  createActor,
  fromCallback,
  type Snapshot,
} from 'xstate'
import { ActorReference, runRoot } from '../persistence/storable.ts'
import type { ActorRecord } from './durable-actor.ts'
import { toCorrupt } from './recorded.ts'

/**
 * Brings back the actors of a run as they were: unlike XState's own restoring, references to actors are found wherever they stand (in inputs, in Maps, to a
 * parent), and parents do not hear once more of snapshots that they had heard of.
 */
export function restoreActor<TMachine extends AnyStateMachine>(
  run: string,
  machine: TMachine,
  record: ActorRecord,
  options: ActorOptions<AnyStateMachine> = {},
  /** Names an actor that has no name yet: a `migrate` has added it. */
  toName: () => string = () => '',
): Actor<TMachine> {
  // Whether `input` is required is not known of a generic machine; a restored one needs none.
  const create = createActor as (logic: TMachine, options: object) => Actor<TMachine>
  const actor = create(machine, { ...options, id: run, snapshot: record.actor })
  const { status, error } = actor.getSnapshot() as Snapshot<unknown>
  if (status === 'error' && record.actor.status !== 'error') throw toCorrupt(run, 'its snapshot cannot be restored', error)
  markRoot(actor)
  const named = new Map<string, AnyActorRef>([['', actor]])
  nameChildren(actor, record.actor, toName, named)
  const revive = createReviver(actor, named)
  revive(record)
  for (const one of allActors(actor)) {
    const snapshot = one.getSnapshot() as Record<string, unknown> // its own: nobody else has it yet
    for (const key of ['context', 'input', 'output', 'error']) {
      if (snapshot[key] instanceof ActorReference) snapshot[key] = revive(snapshot[key])
      else revive(snapshot[key])
    }
  }
  return actor
}

interface RecordedChildren {
  readonly children?: Readonly<Record<string, { readonly snapshot: unknown; readonly sessionId?: string }>>
}

/** Gives the actors below `parent` the names that they had. They are not started yet: nobody knows them by another. */
function nameChildren(parent: AnyActorRef, recorded: unknown, toName: () => string, named: Map<string, AnyActorRef>): void {
  const { children = {} } = recorded as RecordedChildren // written by `readPersisted`
  for (const [id, child] of Object.entries(childrenOf(parent))) {
    const record = children[id]
    if (child === undefined || record === undefined) continue
    Object.assign(child, { sessionId: record.sessionId ?? toName() })
    named.set(child.sessionId, child)
    nameChildren(child, record.snapshot, toName, named)
  }
}

/** Its references are kept by the names that actors have in it. */
export function markRoot(actor: AnyActorRef): void {
  Object.defineProperty(actor, runRoot, { value: true })
}

/** Starts a restored actor. */
export function startRestored(root: AnyActorRef): void {
  const known = new Map([...allActors(root)].map((actor) => [actor, actor.getSnapshot() as unknown]))
  // Not in the types of a system, but what its own actors call to tell each other of something.
  const system = root.system as AnyActorRef['system'] & {
    _relay: (
      source: AnyActorRef | undefined,
      target: AnyActorRef,
      event: { readonly type: string; readonly snapshot?: unknown },
    ) => void
  }
  const relay = system._relay
  system._relay = (source, target, event) => {
    const isHeard = source !== undefined && event.type === `xstate.snapshot.${source.id}` && known.get(source) === event.snapshot
    if (!isHeard) relay(source, target, event)
  }
  try {
    root.start()
  } finally {
    system._relay = relay
  }
}

const childrenOf = (actor: AnyActorRef): Readonly<Record<string, AnyActorRef | undefined>> =>
  (actor.getSnapshot() as { readonly children?: Record<string, AnyActorRef> } | undefined)?.children ?? {}

function* allActors(actor: AnyActorRef): Iterable<AnyActorRef> {
  yield actor
  for (const child of Object.values(childrenOf(actor))) if (child !== undefined) yield* allActors(child)
}

/** The actor at `path`; `undefined` when there is none. */
export function findActor(root: AnyActorRef, path: readonly string[]): AnyActorRef | undefined {
  let at: AnyActorRef | undefined = root
  for (const id of path) at = at === undefined ? undefined : childrenOf(at)[id]
  return at
}

/** Puts actors in the place of references, in whatever can be changed; returns the value, which may itself be one. */
function createReviver(root: AnyActorRef, named: Map<string, AnyActorRef>): (value: unknown) => unknown {
  const seen = new Set<object>()
  const toActor = ({ name, id }: ActorReference): AnyActorRef => {
    const actor = named.get(name) ?? createStopped(root, name, id)
    named.set(name, actor)
    return actor
  }
  const revive = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (value instanceof ActorReference) return toActor(value)
    if (seen.has(value) || 'sessionId' in value || ArrayBuffer.isView(value)) return value
    seen.add(value)
    if (value instanceof Map) {
      const entries = [...value]
      value.clear()
      for (const [key, item] of entries) value.set(revive(key), revive(item))
    } else if (value instanceof Set) {
      const items = [...value]
      value.clear()
      for (const item of items) value.add(revive(item))
    } else {
      const object = value as Record<string, unknown> // any object is read by its keys
      for (const key of Object.keys(object)) {
        const item = object[key]
        const revived = revive(item)
        if (revived !== item) object[key] = revived
      }
    }
    return value
  }
  return revive
}

/** What a reference to an actor that is no more leads to: as in XState, one that has stopped and takes no events. */
function createStopped(root: AnyActorRef, name: string, id: string): AnyActorRef {
  const actor = createActor(
    fromCallback(() => {}),
    { id },
  )
  actor.start().stop()
  return Object.assign(actor, { _parent: root, sessionId: name })
}
