import { inspect } from 'node:util'
import type { ActorLogic, AnyMachineSnapshot, AnyStateMachine, EventObject } from 'xstate'
import { getAdjacencyMap, getShortestPaths, getSimplePaths, serializeSnapshot } from 'xstate/graph'
import { canStep, firstTimer, type ModelState, type ModelStep, startModel, stepModel } from './model-machine.ts'

/** What bounds the graph of a machine. */
export interface GraphOptions {
  readonly input: unknown
  readonly events: readonly EventObject[] | ((snapshot: AnyMachineSnapshot) => readonly EventObject[])
  readonly filterEvents: ((snapshot: AnyMachineSnapshot, event: EventObject) => boolean) | undefined
  readonly stopWhen: ((snapshot: AnyMachineSnapshot) => boolean) | undefined
  readonly serializeState: ((snapshot: AnyMachineSnapshot) => string) | undefined
  readonly limit: number
  readonly paths: 'shortest' | 'simple'
}

/** Steps that lead from the start somewhere, and the states that they lead through: one more, the first is the start. */
export interface ModelPath {
  readonly steps: readonly ModelStep[]
  readonly states: readonly ModelState[]
}

/**
 * Paths that come to every state and through every step of the graph, the short ones first. None is the beginning of another.
 */
export function findPaths(machine: AnyStateMachine, options: GraphOptions): readonly ModelPath[] {
  const { filterEvents, stopWhen, serializeState = serializeSnapshot, limit } = options
  // XState asks for the same again and again.
  const start = inert(startModel(machine, options.input))
  const follow = once((state: ModelState) => once((step: ModelStep) => inert(stepModel(state, step))))
  const logic: ActorLogic<ModelState & Inert, ModelStep> = {
    transition: (state, step) => follow(state)(step),
    getInitialSnapshot: () => start,
    getPersistedSnapshot: (state) => state,
  }
  const toSignature = once((state: ModelState): string =>
    [
      serializeState(state.snapshot),
      state.status,
      ...state.actors,
      ...state.timers.map(({ event, dueAt }) => `${event.type} in ${dueAt - state.now}`),
    ].join('\n'),
  )
  const isTried = ({ snapshot }: ModelState, { type, event }: ModelStep): boolean =>
    filterEvents === undefined || (type === 'wait' && !event.type.startsWith('xstate.')) || filterEvents(snapshot, event)
  const traversal = {
    events: once((state: ModelState) =>
      state.status === 'active' ? toSteps(state, options).filter((step) => isTried(state, step)) : [],
    ),
    serializeState: toSignature,
    serializeEvent: describeStep,
    stopWhen: stopWhen === undefined ? undefined : ({ snapshot }: ModelState) => stopWhen(snapshot),
    limit,
  }
  const find = <T>(search: () => T): T => {
    try {
      return search()
    } catch (error) {
      if (error instanceof Error && error.message === 'Traversal limit exceeded') throw toEndless(machine, limit)
      throw error
    }
  }
  const graph = find(() => getAdjacencyMap(logic, traversal))
  const found = find(() => (options.paths === 'simple' ? getSimplePaths : getShortestPaths)(logic, traversal))
  const paths = found.map(({ steps }) => steps.slice(1).map(({ event }) => event)) // the first is how it begins
  const sources = new Map<string, readonly ModelStep[]>()
  const taken = new Set<string>()
  for (const [index, { state, steps }] of found.entries()) {
    const path = paths[index] ?? []
    const signature = toSignature(state)
    if ((sources.get(signature)?.length ?? Infinity) > path.length) sources.set(signature, path)
    for (let at = 1; at < steps.length; at++) taken.add(toEdge(toSignature(steps[at - 1]?.state as ModelState), path[at - 1]))
  }
  for (const [signature, { transitions }] of Object.entries(graph))
    for (const { event: step } of Object.values<{ readonly event: ModelStep }>(transitions))
      if (!taken.has(toEdge(signature, step))) paths.push([...(sources.get(signature) ?? []), step])
  return withoutBeginnings(paths)
    .sort((one, other) => one.length - other.length)
    .map((steps) => play(machine, options.input, steps))
}

/** How a step is shown, and told from others. */
export const describeStep = once(({ type, event: { type: name, ...rest } }: ModelStep): string => {
  const shown = Object.entries(rest).map(([key, value]) => [key, value instanceof Error ? shortened(value) : value])
  const text = inspect(Object.fromEntries(shown), { breakLength: Infinity, depth: 8, compact: true })
  const payload = shown.length === 0 ? '' : ` ${text}`
  return `${type === 'wait' ? 'wait for ' : ''}${name}${payload}`
})

/** An error by what it says. */
const shortened = (error: Error): object => ({ [inspect.custom]: () => `[${error}]` })

/** Calls `fn` once for each object. */
function once<Key extends object, Value>(fn: (key: Key) => Value): (key: Key) => Value {
  const values = new WeakMap<Key, { readonly value: Value }>()
  return (key) => {
    let known = values.get(key)
    if (known === undefined) {
      known = { value: fn(key) }
      values.set(key, known)
    }
    return known.value
  }
}

interface Inert {
  readonly output: undefined
  readonly error: undefined
}

/** As XState's graph takes a state: what a machine's snapshot failed with or came to stays in it. */
const inert = (state: ModelState): ModelState & Inert => ({ ...state, output: undefined, error: undefined })

const toEdge = (signature: string, step: ModelStep | undefined): string =>
  `${signature}\n→ ${step === undefined ? '' : describeStep(step)}`

function toSteps(state: ModelState, { events: given }: GraphOptions): readonly ModelStep[] {
  const { snapshot, actors } = state
  const events = typeof given === 'function' ? given(snapshot) : given
  const timer = firstTimer(state)
  const steps: ModelStep[] = timer === undefined ? [] : [{ type: 'wait', event: timer.event }]
  for (const descriptor of new Set(snapshot._nodes.flatMap(({ ownEvents }) => ownEvents as readonly string[]))) {
    if (/^xstate\.(after|snapshot|done\.state)\./.test(descriptor)) continue // time brings the first, nobody the others
    if (toActor(descriptor) !== undefined) continue
    const isPattern = descriptor.endsWith('*')
    const cases = events.filter(({ type }) => (isPattern ? matches(type, descriptor) : type === descriptor))
    for (const event of cases.length > 0 || isPattern ? cases : [{ type: descriptor }])
      if (toActor(event.type) === undefined) steps.push({ type: 'send', event })
  }
  for (const actor of actors) {
    const cases = events.filter(({ type }) => toActor(type) === actor)
    const own = snapshot._nodes.flatMap(({ ownEvents }) => ownEvents as readonly string[])
    const has = (type: string): boolean => cases.some((event) => event.type === type)
    const done = `xstate.done.actor.${actor}`
    const failed = `xstate.error.actor.${actor}`
    if (own.includes(done) && !has(done)) cases.push({ type: done, output: undefined } as EventObject)
    if (own.includes(failed) && !has(failed)) cases.push({ type: failed, error: new Error(`\`${actor}\` failed`) } as EventObject)
    for (const event of cases) steps.push({ type: 'outcome', event, actor })
  }
  return steps
}

/** The actor whose outcome the event is. */
const toActor = (type: string): string | undefined => /^xstate\.(?:done|error)\.actor\.(.+)$/s.exec(type)?.[1]

const matches = (type: string, pattern: string): boolean =>
  !type.startsWith('xstate.') && (pattern === '*' || type === pattern.slice(0, -2) || type.startsWith(pattern.slice(0, -1)))

function withoutBeginnings(paths: readonly (readonly ModelStep[])[]): (readonly ModelStep[])[] {
  const beginnings = new Set<string>()
  const whole = new Map<string, readonly ModelStep[]>()
  for (const path of paths) {
    let key = ''
    for (const step of path) {
      beginnings.add(key)
      key += `\n${describeStep(step)}`
    }
    whole.set(key, path)
  }
  return [...whole].filter(([key]) => !beginnings.has(key)).map(([, path]) => path)
}

/** The states as they are on this path: of states that are alike the graph keeps one. */
function play(machine: AnyStateMachine, input: unknown, steps: readonly ModelStep[]): ModelPath {
  const states = [startModel(machine, input)]
  for (const step of steps) {
    const state = states.at(-1) as ModelState // there is the first
    if (!canStep(state, step))
      throw new Error(
        `\`${describeStep(step)}\` cannot happen on each of the paths that come to it: \`serializeState\` takes states for one that go on in different ways.`,
      )
    states.push(stepModel(state, step))
  }
  return { steps, states }
}

function toEndless(machine: AnyStateMachine, limit: number): Error {
  return new Error(
    `The graph of \`${machine.id}\` has more than ${limit} steps. Bound it with \`stopWhen\` or \`filterEvents\`, say with \`serializeState\` which states are alike, or raise \`limit\`.`,
  )
}
