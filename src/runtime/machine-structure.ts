import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { toHash } from './fingerprint.ts'

/** Tells a machine from any other value, also one that another copy of XState made. */
export function isMachine(value: unknown): value is AnyStateMachine {
  return (
    typeof value === 'object' &&
    value !== null &&
    'root' in value &&
    'implementations' in value &&
    'getStateNodeById' in value &&
    typeof value.getStateNodeById === 'function'
  )
}

/**
 * A short hash of what a stored snapshot of a machine depends on: its state nodes, transitions, delays, invocations and names of actors, and those of
 * the machines among its actors. Not of what is done there (actions, guards, logic), nor of descriptions, `meta` and tags. The same in every process,
 * in whatever order the keys were written.
 */
export function toStructure(machine: AnyStateMachine): string {
  // A machine may have itself among its actors. So each is told from the others step by step: at first all are alike, then those differ that do by
  // themselves, then those whose actors do, until no more do. Two copies of a machine stay alike.
  let hashes = new Map([[machine, '']])
  const toReference: ToReference = (logic) => {
    if (!isMachine(logic)) return null
    const hash = hashes.get(logic) ?? ''
    hashes.set(logic, hash)
    return hash
  }
  for (const each of hashes.keys()) toParts(each, toReference) // those met meanwhile are iterated too
  for (let kinds = 0; ; ) {
    const next = new Map(Array.from(hashes.keys(), (each) => [each, toHash(toParts(each, toReference))]))
    hashes = next
    const count = new Set(next.values()).size
    if (count === kinds) return next.get(machine) ?? ''
    kinds = count
  }
}

/** Stands for a machine among the actors of another; for other logic it is `null`. */
type ToReference = (logic: unknown) => string | null

/** The node and all nodes below it, in the order of their keys. */
export function* walkStates(node: AnyStateNode): Iterable<AnyStateNode> {
  yield node
  for (const [, child] of sortEntries(node.states)) yield* walkStates(child)
}

function toParts(machine: AnyStateMachine, toReference: ToReference): unknown {
  return {
    states: Array.from(walkStates(machine.root), (node) => toNodeParts(node, toReference)),
    actors: sortEntries(machine.implementations.actors).map(([name, logic]) => [name, toReference(logic)]),
  }
}

function toNodeParts(node: AnyStateNode, toReference: ToReference): unknown {
  const { id, path, type, history, config } = node
  return {
    id,
    path,
    type,
    history,
    historyTarget: type === 'history' ? config.target : undefined,
    initial: node.initial.target?.map(toId),
    // Of routes XState makes a list in the order of the states.
    transitions: sortEntries(Object.fromEntries(node.transitions))
      .filter(([descriptor]) => descriptor !== 'xstate.route')
      .map(([descriptor, transitions]) => [descriptor, transitions.map(toTransitionParts)]),
    always: node.always?.map(toTransitionParts),
    isRouted: config.route !== undefined,
    invoke: node.invoke.map((invocation, index) => {
      const { src } = [config.invoke].flat()[index] ?? {}
      return { id: invocation.id, src: invocation.src, machine: toReference(src) }
    }),
  }
}

function toTransitionParts(transition: {
  readonly target?: readonly AnyStateNode[] | undefined
  readonly guard?: unknown
}): unknown {
  return { target: transition.target?.map(toId), isGuarded: transition.guard !== undefined }
}

const toId = ({ id }: AnyStateNode): string => id

function sortEntries<T>(record: Readonly<Record<string, T>>): [string, T][] {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}
