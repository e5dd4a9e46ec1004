import { type AnyActorRef, type InspectionEvent, type Observer, toObserver } from 'xstate'
import { tell } from './listener.ts'

/** Hears XState's inspection events: a function, or an observer such as `createWebSocketInspector({ url }).inspect`. */
export type InspectionObserver = Observer<InspectionEvent> | ((event: InspectionEvent) => void)

/**
 * XState's inspection events of all active runs, with ids that are the same in every process: the root actor of run `order-1` has the
 * `sessionId` (and every event of it the `rootId`) `order-1`, its child `payment` has `order-1/payment`. XState's own are `x:0`, `x:1` in the
 * order of creation, so a run that was restored would look like another one.
 *
 * XState's actors stay as they are. What observers get as `actorRef`, `sourceRef` and `_parent` stands in front of the actor and differs from it in
 * the ids only; it is one object per actor. References *inside* of events, snapshots and params are XState's own.
 */
export interface Inspection {
  /** Tells an event of a run's actor system, as XState gave it. Costs next to nothing while nobody observes. */
  forward(run: string, event: InspectionEvent): void
  /** A run is active: who observes later is shown its actors. */
  track(run: string, root: AnyActorRef): void
  /**
   * A run is no longer active. From here on nothing is told of these actors: call it before the actor of a run that is only dropped from memory is
   * stopped, for the run itself does not stop; it goes on under the same ids when it is tracked again.
   */
  untrack(run: string): void
  /**
   * Tells an observer what there is, each actor before its children, as `@xstate.actor` and `@xstate.snapshot`, and then every event. One that
   * throws does not disturb the run: its error becomes an `uncaughtException`. Errors: `TypeError`.
   */
  observe(observer: InspectionObserver): { unsubscribe(): void }
  /** Lets go of all observers and runs. Observers are not completed: one inspector may serve several runtimes. */
  close(): void
}

/** An actor as observers know it. */
interface Inspected {
  readonly run: string
  readonly parent: Inspected | undefined
  /** The actor with its stable ids. */
  readonly facade: AnyActorRef
  /** Another actor has its ids now, or its run is not active any more: what it still does would be taken for the other's. */
  gone: boolean
}

/** Not in the types of a reference. Unlike `getSnapshot()` it does not throw while the actor is being made. */
type WithSnapshot = AnyActorRef & {
  readonly _snapshot?: { readonly children?: Readonly<Record<string, AnyActorRef | undefined>> }
}

export function createInspection(): Inspection {
  const observers = new Set<Observer<InspectionEvent>>()
  const roots = new Map<string, AnyActorRef>()
  const inspected = new WeakMap<AnyActorRef, Inspected>()

  const add = (actor: AnyActorRef, run: string, parent: Inspected | undefined): Inspected => {
    const path = parent === undefined ? run : `${parent.facade.sessionId}/${toSegment(actor.id)}`
    const ids = { sessionId: path, _parent: parent?.facade, id: parent === undefined ? run : actor.id }
    const facade: AnyActorRef = Object.create(actor, Object.getOwnPropertyDescriptors(Object.freeze(ids)))
    const one: Inspected = { run, parent, facade, gone: false }
    inspected.set(actor, one)
    return one
  }

  /** Undefined: the actor belongs to no run that is known. `rootId` is XState's id of the root of `run`. */
  const find = (actor: AnyActorRef, run: string, rootId: string): Inspected | undefined => {
    const known = inspected.get(actor)
    if (known !== undefined) return known
    if (actor._parent === undefined) return actor.sessionId === rootId ? add(actor, run, undefined) : undefined
    const parent = find(actor._parent, run, rootId)
    return parent && add(actor, parent.run, parent)
  }

  /** A child that is invoked again is announced before the old one stops; until then the parent's snapshot still has the old one. */
  const replace = (actor: AnyActorRef): void => {
    const old = (actor._parent as WithSnapshot | undefined)?._snapshot?.children?.[actor.id]
    const known = old === undefined || old === actor ? undefined : inspected.get(old)
    if (known !== undefined) known.gone = true
  }

  const introduce = (observer: Observer<InspectionEvent>, run: string, { facade }: Inspected, actor: AnyActorRef): void => {
    const snapshot = actor.getSnapshot()
    const about = { rootId: run, actorRef: facade }
    tell(observer.next, { type: '@xstate.actor', ...about })
    tell(observer.next, { type: '@xstate.snapshot', ...about, event: { type: 'xstate.init' }, snapshot })
    for (const child of Object.values((actor as WithSnapshot)._snapshot?.children ?? {})) {
      if (child?._parent !== actor) continue
      const one = find(child, run, '')
      if (one !== undefined) introduce(observer, run, one, child)
    }
  }

  const untrack = (run: string): void => {
    const root = roots.get(run)
    const known = root && inspected.get(root)
    if (known !== undefined) known.gone = true
    roots.delete(run)
  }

  return {
    forward(run, event) {
      if (observers.size === 0) return
      const actor = event.actorRef as AnyActorRef // XState knows no others
      const one = find(actor, run, event.rootId)
      if (one !== undefined && isGone(one)) return
      if (event.type === '@xstate.actor') replace(actor)
      const about = { rootId: run, actorRef: one?.facade ?? actor }
      let told: InspectionEvent
      if (event.type === '@xstate.event') {
        const source = event.sourceRef as AnyActorRef | undefined
        told = { ...event, ...about, sourceRef: source && (find(source, run, event.rootId)?.facade ?? source) }
      } else told = { ...event, ...about }
      for (const observer of [...observers]) tell(observer.next, told)
    },

    track(run, root) {
      if (roots.get(run) === root) return
      untrack(run)
      roots.set(run, root)
      find(root, run, root.sessionId)
    },

    untrack,

    observe(observerOrFn) {
      const next: unknown = typeof observerOrFn === 'object' && observerOrFn !== null ? observerOrFn.next : observerOrFn
      if (typeof next !== 'function')
        throw new TypeError(
          `Expected the inspection observer to be a function or an object with a \`next\` function (of an inspector: its \`inspect\`), got \`${String(observerOrFn)}\` (${typeof observerOrFn})`,
        )
      const observer = toObserver(observerOrFn)
      observers.add(observer)
      for (const [run, root] of [...roots]) {
        const one = inspected.get(root)
        if (one !== undefined) introduce(observer, run, one, root)
      }
      return { unsubscribe: () => void observers.delete(observer) }
    },

    close() {
      observers.clear()
      roots.clear()
    },
  }
}

function isGone(one: Inspected): boolean {
  return one.gone || (one.parent !== undefined && isGone(one.parent))
}

/** Ids of actors may hold slashes: `a/b` is not the child `b` of `a`. */
const toSegment = (id: string): string => id.replace(/[%/]/g, (character) => (character === '%' ? '%25' : '%2F'))
