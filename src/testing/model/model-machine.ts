import {
  type AnyMachineSnapshot,
  type AnyStateMachine,
  type EventObject,
  type ExecutableActionsFrom,
  initialTransition,
  type Snapshot,
  transition,
} from 'xstate'

/** What may happen to a machine: somebody sends an event, an actor comes to an outcome, or time passes until a delayed event is due. */
export type ModelStep =
  | { readonly type: 'send'; readonly event: EventObject }
  | { readonly type: 'outcome'; readonly event: EventObject; readonly actor: string }
  | { readonly type: 'wait'; readonly event: EventObject }

interface ModelTimer {
  readonly id: string | undefined
  readonly event: EventObject
  /** In milliseconds since the machine was started. */
  readonly dueAt: number
}

/** A machine's state as XState's pure `transition` has it, with what that leaves to an interpreter: delayed events and the actors under way. */
export interface ModelState {
  readonly snapshot: AnyMachineSnapshot
  /** In milliseconds since the machine was started. */
  readonly now: number
  readonly timers: readonly ModelTimer[]
  /** The ids of the actors that it waits for. */
  readonly actors: readonly string[]
  readonly status: Snapshot<unknown>['status']
}

export function startModel(machine: AnyStateMachine, input: unknown): ModelState {
  const [snapshot, actions] = initialTransition(machine, input as never) // of its machine
  return fireDue(interpret({ snapshot, now: 0, timers: [], actors: [], status: snapshot.status }, snapshot, actions))
}

/** What follows; the state itself when the step cannot be taken in it. */
export function stepModel(state: ModelState, step: ModelStep): ModelState {
  if (!canStep(state, step)) return state
  if (step.type === 'send') return fireDue(take(state, step.event))
  if (step.type === 'wait') return fireDue({ ...state, now: firstTimer(state)?.dueAt ?? state.now })
  const actors = state.actors.filter((id) => id !== step.actor)
  return fireDue(take({ ...state, actors }, { actorId: step.actor, ...step.event } as EventObject))
}

export function canStep(state: ModelState, step: ModelStep): boolean {
  if (state.status !== 'active') return false
  if (step.type === 'send') return true
  return step.type === 'outcome' ? state.actors.includes(step.actor) : firstTimer(state)?.event.type === step.event.type
}

/** The delayed event that is due next. */
export function firstTimer({ timers }: ModelState): ModelTimer | undefined {
  return timers.reduce<ModelTimer | undefined>(
    (first, timer) => (first === undefined || timer.dueAt < first.dueAt ? timer : first),
    undefined,
  )
}

/** How many delayed events may come at one instant until it is taken for a circle. */
const MAX_AT_ONCE = 1_000

/** All that is due at one instant comes at once, in the order in which it was set. */
function fireDue(state: ModelState): ModelState {
  let next = state
  for (let count = 0; next.status === 'active'; count++) {
    const timer = firstTimer(next)
    if (timer === undefined || timer.dueAt > next.now) break
    if (count === MAX_AT_ONCE) throw new Error(`The delayed event \`${timer.event.type}\` leads to itself without a delay.`)
    next = take({ ...next, timers: next.timers.filter((other) => other !== timer) }, timer.event)
  }
  return next
}

function take(state: ModelState, event: EventObject): ModelState {
  let next: ReturnType<typeof transition<AnyStateMachine>>
  try {
    next = transition(state.snapshot.machine, state.snapshot, event)
  } catch (error) {
    // What an interpreter makes of a machine that throws.
    const snapshot = { ...state.snapshot, status: 'error', error } as AnyMachineSnapshot
    return { ...state, snapshot, status: 'error', timers: [], actors: [] }
  }
  return interpret(state, ...next)
}

function interpret(
  state: ModelState,
  snapshot: AnyMachineSnapshot,
  actions: readonly ExecutableActionsFrom<AnyStateMachine>[],
): ModelState {
  let { timers, actors } = state
  for (const { type, params } of actions as readonly { readonly type: string; readonly params: unknown }[]) {
    const { id, delay, event, sendId, actorRef, to } = Object(params) as BuiltInParameters
    if (type === 'xstate.cancel') timers = timers.filter((timer) => timer.id === undefined || timer.id !== sendId)
    else if (type === 'xstate.spawnChild' && id !== undefined && actorRef !== undefined) actors = [...actors, id]
    else if (type === 'xstate.stopChild') actors = actors.filter((one) => one !== id)
    else if (event !== undefined && delay !== undefined && (type === 'xstate.raise' || isToItself(type, to)))
      timers = [...timers, { id, event, dueAt: state.now + delay }]
  }
  const isOver = snapshot.status !== 'active'
  return { ...state, snapshot, status: snapshot.status, timers: isOver ? [] : timers, actors: isOver ? [] : actors }
}

/** What XState's own actions are executed with, as far as it matters here. */
interface BuiltInParameters {
  readonly id?: string
  readonly delay?: number
  readonly event?: EventObject
  readonly sendId?: string
  readonly actorRef?: unknown
  readonly to?: { readonly _parent?: unknown }
}

const isToItself = (type: string, to: BuiltInParameters['to']): boolean =>
  type === 'xstate.sendTo' && typeof to === 'object' && to._parent === undefined
