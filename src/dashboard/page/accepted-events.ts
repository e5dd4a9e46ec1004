import type { MachineDescription, StateDescription, TransitionDescription } from '../../runtime/machine-description.ts'
import { toActivePaths } from './state-text.ts'

/** An event that a state takes. */
export interface AcceptedEvent {
  readonly type: string
  readonly description: string | undefined
  /** Where it leads, in words. */
  readonly leadsTo: readonly string[]
}

/** The states of a machine that are active, by the keys from its root. */
export function toActiveStates(root: StateDescription, value: unknown): ReadonlySet<StateDescription> {
  const paths = new Set(toActivePaths(value))
  const active = new Set<StateDescription>([root])
  const visit = (state: StateDescription, above: string): void => {
    for (const child of state.states) {
      const path = above + child.key
      if (!paths.has(path)) continue
      active.add(child)
      visit(child, `${path}.`)
    }
  }
  visit(root, '')
  return active
}

const isOwn = ({ event }: TransitionDescription): boolean => event !== '' && !event.startsWith('xstate.') && !event.includes('*')

/** What a person can send to a machine in this state. */
export function toAcceptedEvents({ root, machines }: MachineDescription, value: unknown): readonly AcceptedEvent[] {
  const machine = machines[root]
  if (machine === undefined) return []
  const events = new Map<string, { description: string | undefined; leadsTo: Set<string> }>()
  for (const state of toActiveStates(machine, value))
    for (const transition of state.transitions.filter(isOwn)) {
      const known = events.get(transition.event) ?? { description: undefined, leadsTo: new Set() }
      known.description ??= transition.description
      for (const target of transition.targets) known.leadsTo.add(target.slice(target.indexOf('.') + 1))
      events.set(transition.event, known)
    }
  return [...events].map(([type, { description, leadsTo }]) => ({ type, description, leadsTo: [...leadsTo] }))
}
