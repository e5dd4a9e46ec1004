import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { isMachine } from './machine-structure.ts'

/** What a machine looks like: plain data to draw it from. */
export interface MachineDescription {
  /** The key of the machine itself in `machines`. */
  readonly root: string
  /** The machine, and those that it invokes or may spawn, and theirs; each is there once. */
  readonly machines: Readonly<Record<string, StateDescription>>
}

/** A state of a machine, with the states in it. */
export interface StateDescription {
  /** Unique in its machine. */
  readonly id: string
  readonly key: string
  readonly type: 'atomic' | 'compound' | 'parallel' | 'final' | 'history'
  readonly description: string | undefined
  readonly tags: readonly string[]
  /** The id of the state that is entered with it. */
  readonly initial: string | undefined
  /** Of a history state. */
  readonly history: 'shallow' | 'deep' | undefined
  readonly transitions: readonly TransitionDescription[]
  readonly invokes: readonly ActorReference[]
  /** In the order in which the machine has them. */
  readonly states: readonly StateDescription[]
}

/** A transition of a state. */
export interface TransitionDescription {
  /** The type of the event; empty: it is taken as soon as its guard lets it. */
  readonly event: string
  /** It is taken after this delay. */
  readonly delay: string | undefined
  /** The ids of states; none: it only acts. */
  readonly targets: readonly string[]
  readonly guard: string | undefined
  readonly actions: readonly string[]
  readonly description: string | undefined
}

/** An actor that a state invokes. */
export interface ActorReference {
  readonly id: string
  readonly src: string
  /** The key in `machines`, if it is a machine. */
  readonly machine: string | undefined
}

export function describeMachine(machine: AnyStateMachine): MachineDescription {
  const keys = new Map<AnyStateMachine, string>()
  const toKey: ToKey = (logic) => {
    if (!isMachine(logic)) return undefined
    const key = keys.get(logic) ?? (keys.size === 0 ? logic.id : `${logic.id}#${keys.size}`)
    keys.set(logic, key)
    return key
  }
  const root = toKey(machine) ?? machine.id
  const machines: Record<string, StateDescription> = {}
  for (const [each, key] of keys) machines[key] = toState(each.root, each, toKey) // those met meanwhile are iterated too
  return { root, machines }
}

type ToKey = (logic: unknown) => string | undefined

function toState(node: AnyStateNode, machine: AnyStateMachine, toKey: ToKey): StateDescription {
  const { id, key, type, description, tags, history } = node
  return {
    id,
    key,
    type,
    description,
    tags,
    initial: node.initial.target?.[0]?.id,
    history: type === 'history' ? history || 'shallow' : undefined,
    transitions: toTransitions(node),
    invokes: toInvokes(node, machine, toKey),
    states: Object.values(node.states).map((child) => toState(child, machine, toKey)),
  }
}

const AFTER = 'xstate.after.'

function toTransitions({ transitions, always = [], id }: AnyStateNode): readonly TransitionDescription[] {
  const listed = [...transitions].flatMap(([event, each]) => each.map((transition) => ({ event, transition })))
  const eventless = always.map((transition) => ({ event: '', transition }))
  return [...listed, ...eventless].map(({ event, transition }) => ({
    event,
    delay: event.startsWith(AFTER) ? event.slice(AFTER.length, -id.length - 1) : undefined,
    targets: (transition.target ?? []).map((target) => target.id),
    guard: transition.guard === undefined ? undefined : toImplementationName(transition.guard),
    actions: transition.actions.map(toImplementationName),
    description: transition.description,
  }))
}

function toInvokes(node: AnyStateNode, machine: AnyStateMachine, toKey: ToKey): readonly ActorReference[] {
  const given = [node.config.invoke ?? []].flat()
  return node.invoke.map(({ id, src }, index) => {
    const logic: unknown = given[index]?.src
    const name = typeof src === 'string' ? src : id
    const provided: unknown = typeof logic === 'string' ? machine.implementations.actors[logic] : logic
    return { id, src: name.startsWith('xstate.invoke') ? 'inline' : name, machine: toKey(provided) }
  })
}

/** What an action or a guard is called; `inline` if it is written on the spot. */
export function toImplementationName(named: unknown): string {
  if (typeof named === 'string') return named
  if (typeof named === 'object' && named !== null && 'type' in named) return String(named.type)
  if (typeof named !== 'function') return 'inline'
  const { type, name } = named as { readonly type?: unknown; readonly name: string } // XState's own have a type
  return typeof type === 'string' ? type : /^(?:|actions|guard|cond|anonymous)$/.test(name) ? 'inline' : name
}
