import type { AnyMachineSnapshot, AnyStateMachine, InspectionEvent, StateNode, TransitionDefinition } from 'xstate'

/** Which states and transitions of a machine runs went through. */
export interface Coverage {
  /** Hears what runs of the machine do. */
  readonly hear: (event: InspectionEvent) => void
  readonly states: number
  readonly transitions: number
  /** What no run went through: states by id, then transitions as `<state> on <event> → <target>`. */
  readonly uncovered: readonly string[]
}

type AnyTransition = TransitionDefinition<never, never>

export function createCoverage(machine: AnyStateMachine): Coverage {
  const states = new Map<string, boolean>()
  const transitions = new Map<object, { readonly name: string; isCovered: boolean }>()
  const enlist = (node: StateNode): void => {
    if (node.type !== 'history') states.set(node.id, false)
    const own = [...node.transitions.values()].flat() as unknown as readonly AnyTransition[] // whatever the machine's events
    for (const transition of [...own, ...((node.always ?? []) as unknown as readonly AnyTransition[])])
      if (!isForbidden(transition)) transitions.set(transition, { name: describeTransition(node, transition), isCovered: false })
    for (const child of Object.values(node.states)) enlist(child)
  }
  enlist(machine.root)
  return {
    hear(event) {
      if (event.actorRef === undefined || event.rootId !== event.actorRef.sessionId) return
      if (event.type === '@xstate.microstep') {
        for (const transition of event._transitions) {
          const known = transitions.get(transition)
          if (known !== undefined) known.isCovered = true
        }
      }
      if (event.type !== '@xstate.microstep' && event.type !== '@xstate.snapshot') return
      for (const { id } of (event.snapshot as Partial<AnyMachineSnapshot>)._nodes ?? []) if (states.has(id)) states.set(id, true)
    },
    get states() {
      return [...states.values()].filter((isCovered) => isCovered).length
    },
    get transitions() {
      return [...transitions.values()].filter(({ isCovered }) => isCovered).length
    },
    get uncovered() {
      const missed = [...states].filter(([, isCovered]) => !isCovered).map(([id]) => id)
      return [...missed, ...[...transitions.values()].filter(({ isCovered }) => !isCovered).map(({ name }) => name)]
    },
  }
}

/** It does nothing but keep an event from states further up; XState takes it for none. */
const isForbidden = ({ target, actions, reenter }: AnyTransition): boolean =>
  target === undefined && actions.length === 0 && !reenter

function describeTransition(node: StateNode, { eventType, target, guard }: AnyTransition): string {
  const to = target === undefined ? '' : ` → ${target.map(({ id }) => id).join(', ')}`
  const name: unknown = typeof guard === 'object' ? (guard as { readonly type?: unknown }).type : guard
  return `${node.id} ${String(eventType) === '' ? 'always' : `on ${eventType}`}${typeof name === 'string' ? ` if ${name}` : ''}${to}`
}
