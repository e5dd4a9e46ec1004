/**
 * Whether a stored run can go on with a machine as it is now (P10): what would be restored is compared with what the machine has. Where XState would go
 * on with a part of the snapshot, silently enter another state or drop a child, there is a finding.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { toMessage } from '../errors.ts'
import { isMachine, walkStates } from './machine-structure.ts'

/** An actor of a snapshot, as the machine of today would restore it. */
type Found =
  | {
      readonly kind: 'machine'
      readonly machine: AnyStateMachine
      /** The states that it is in. */
      readonly states: ReadonlySet<AnyStateNode>
      readonly children: ReadonlyMap<string, Found>
    }
  /** Logic that is no machine: what it takes is not known. */
  | { readonly kind: 'other' }
  /** There is a finding for it. */
  | { readonly kind: 'missing' }

type Report = (what: string) => void

const STATUSES: readonly unknown[] = ['active', 'done', 'error', 'stopped']
const AFTER = 'xstate.after.'

/**
 * What `machine` does not have of that which a run needs whose persisted `snapshot` and pending `timers` these are, in words: states of every level,
 * targets of history states, sources of children, receivers of delayed events. Empty: the run can go on. Never throws: what is no snapshot is a finding.
 */
export function findMissing(machine: AnyStateMachine, snapshot: unknown, timers: unknown): readonly string[] {
  const missing = new Set<string>()
  const report = (what: string): void => void missing.add(what)
  try {
    const root = findMachine(machine, snapshot, [], report)
    if (!Array.isArray(timers)) report(`a list of timers that can be read: it is ${toText(timers)}`)
    else for (const timer of timers) checkTimer(root, timer, report)
  } catch (error) {
    report(`a snapshot that can be read: ${toMessage(error)}`)
  }
  return [...missing]
}

/**
 * The timers that are still of use for a `snapshot` that {@link findMissing} was shown: those go away whose actors are not there any more, and an `after`
 * whose state was left. It is what XState does when a child is stopped or a state exited.
 */
export function dropOutlived<T>(machine: AnyStateMachine, snapshot: unknown, timers: readonly T[]): readonly T[] {
  const root = findMachine(machine, snapshot, [], () => {})
  return timers.filter((timer) => {
    if (!isTimer(timer)) return true
    const target = findActor(root, timer.target)
    if (target === undefined || findActor(root, timer.source) === undefined) return false
    const { type } = timer.event
    return target.kind !== 'machine' || !type.startsWith(AFTER) || [...target.states].some(({ id }) => type.endsWith(`.${id}`))
  })
}

function findMachine(machine: AnyStateMachine, snapshot: unknown, path: readonly string[], report: Report): Found {
  const states = new Set<AnyStateNode>()
  const children = new Map<string, Found>()
  const place = path.length === 0 ? '' : ` of child \`${path.join('/')}\``
  const unfit = (what: string): Found => {
    report(`a snapshot${place} that machine \`${machine.id}\` can restore: ${what}`)
    return { kind: 'missing' }
  }
  if (!isObject(snapshot)) return unfit(`it is ${toText(snapshot)}`)
  const { status, value, context, historyValue = {} } = snapshot
  if (!STATUSES.includes(status)) return unfit(`its \`status\` is ${toText(status)}`)
  if (!isObject(context)) return unfit(`its \`context\` is ${toText(context)}`)
  if (!isObject(snapshot.children)) return unfit(`its \`children\` are ${toText(snapshot.children)}`)
  if (!isObject(historyValue)) return unfit(`its \`historyValue\` is ${toText(historyValue)}`)

  const reportHere = (what: string): void => report(`${what}${place}`)
  // One that failed or was stopped takes nothing any more; one that failed at its start is in no state.
  if (status === 'active' || status === 'done') enterState(machine.root, value, states, reportHere)
  if (status === 'active' && isFinal(machine.root, states))
    reportHere(`${nameOf(machine.root)} as one that has not come to its end`)
  for (const [id, targets] of Object.entries(historyValue)) checkHistory(machine, id, targets, reportHere)
  for (const [id, child] of Object.entries(snapshot.children))
    children.set(id, findChild(machine, states, [...path, id], child, report))
  return { kind: 'machine', machine, states, children }
}

/** Adds `node` and what `value` says of the nodes below it to `states`. */
function enterState(node: AnyStateNode, value: unknown, states: Set<AnyStateNode>, report: Report): void {
  states.add(node)
  const regions = toRegions(node)
  const entries = toEntries(value)
  if (node.type === 'history') report(`${nameOf(node)} as a state to be in (it is a history state now)`)
  else if (entries === undefined) report(`${nameOf(node)} with the value ${toText(value)}`)
  else if (entries.length === 0 && regions.length > 0) report(`${nameOf(node)} as a state without children (it has some now)`)
  else enterChildren(node, entries, states, report)
}

function enterChildren(
  node: AnyStateNode,
  entries: readonly (readonly [key: string, value: unknown])[],
  states: Set<AnyStateNode>,
  report: Report,
): void {
  for (const [key, value] of entries) {
    const child: AnyStateNode | undefined = Object.hasOwn(node.states, key) ? node.states[key] : undefined
    if (child === undefined) report(nameOf(node, key))
    else enterState(child, value, states, report)
  }
  if (node.type === 'compound' && entries.length > 1)
    report(`${nameOf(node)} with parallel regions (it is in one child at a time now)`)
  if (node.type !== 'parallel') return
  for (const { key } of toRegions(node))
    if (!entries.some(([entered]) => entered === key)) report(`${nameOf(node)} without a region \`${key}\``)
}

/** The children that a state value names; `undefined`: it is none. */
function toEntries(value: unknown): readonly (readonly [key: string, value: unknown])[] | undefined {
  if (typeof value === 'string') return [[value, {}]]
  return isObject(value) ? Object.entries(value) : undefined
}

/** As XState sees it: such a machine is done. */
const isFinal = (node: AnyStateNode, states: ReadonlySet<AnyStateNode>): boolean => {
  const children = toRegions(node)
  if (node.type === 'compound') return children.some((child) => child.type === 'final' && states.has(child))
  return node.type === 'parallel' ? children.every((child) => isFinal(child, states)) : node.type === 'final'
}

const toRegions = (node: AnyStateNode): AnyStateNode[] =>
  Object.values<AnyStateNode>(node.states).filter(({ type }) => type !== 'history')

/** Nobody asks for what a history state that is gone remembered. */
function checkHistory(machine: AnyStateMachine, id: string, targets: unknown, report: Report): void {
  const history = [...walkStates(machine.root)].find((node) => node.id === id && node.type === 'history')
  if (history === undefined) return
  for (const target of Array.isArray(targets) ? targets : [targets]) {
    const targetId: unknown = isObject(target) ? target.id : undefined
    const node = findState(machine, targetId)
    if (node === undefined || node.type === 'history' || !isBelow(node, history.parent))
      report(`history target ${typeof targetId === 'string' ? `\`${targetId}\`` : toText(target)} of \`${id}\``)
  }
}

function findChild(
  machine: AnyStateMachine,
  states: ReadonlySet<AnyStateNode>,
  path: readonly string[],
  child: unknown,
  report: Report,
): Found {
  const id = path.at(-1) ?? ''
  const name = `child \`${path.join('/')}\``
  const miss = (what: string): Found => {
    report(what)
    return { kind: 'missing' }
  }
  if (!isObject(child) || !isObject(child.snapshot) || typeof child.src !== 'string')
    return miss(`${name} as it is stored: ${toText(child)}`)
  const { src, snapshot } = child
  const source = `${name} with source \`${src}\``
  const logic = findLogic(machine, src)
  if (logic === undefined) return miss(source)
  if (snapshot.status === 'active' && isUninvoked(states, id, src))
    report(`${source}, which is not invoked as \`${id}\` any more`)
  if (isMachine(logic)) return findMachine(logic, snapshot, path, report)
  const wasMachine = 'value' in snapshot && 'children' in snapshot && 'historyValue' in snapshot
  if (wasMachine) return miss(`${source} as a machine`)
  if (!STATUSES.includes(snapshot.status)) return miss(`${source} and the status ${toText(snapshot.status)}`)
  return { kind: 'other' }
}

/** What XState looks up for the source of a child that it restores. */
function findLogic(machine: AnyStateMachine, src: string): object | undefined {
  const [, index = '', stateId] = /^xstate\.invoke\.(\d+)\.(.*)/.exec(src) ?? []
  const { actors } = machine.implementations
  const { invoke } = findState(machine, stateId)?.config ?? {}
  const inline: { readonly src?: unknown } | undefined = Array.isArray(invoke) ? invoke[Number(index)] : invoke
  const logic: unknown = stateId === undefined ? actors[src] : inline?.src
  return isObject(logic) && typeof logic.transition === 'function' ? logic : undefined
}

/**
 * A child whose id XState made of its state and its position there: when that position is gone, or now another's, its end would reach nobody, or be
 * taken for the end of another.
 */
function isUninvoked(states: ReadonlySet<AnyStateNode>, id: string, src: string): boolean {
  const [, stateId] = /^\d+\.(.+)$/.exec(id) ?? []
  const node = stateId === undefined ? undefined : [...states].find((state) => state.id === stateId)
  if (node === undefined) return false
  const isMoved = node.invoke.some((invocation) => invocation.src === src && invocation.id !== id)
  return !node.invoke.some((invocation) => invocation.id === id && (invocation.src === src || !isMoved))
}

interface Timer {
  readonly id: string
  readonly source: readonly string[]
  readonly target: readonly string[]
  readonly event: { readonly type: string }
}

function isTimer(timer: unknown): timer is Timer {
  if (!isObject(timer) || !isObject(timer.event)) return false
  const { id, source, target, event, dueAt } = timer
  return [source, target].every(isPath) && typeof id === 'string' && typeof event.type === 'string' && typeof dueAt === 'number'
}

const isPath = (value: unknown): boolean => Array.isArray(value) && value.every((part) => typeof part === 'string')

function checkTimer(root: Found, timer: unknown, report: Report): void {
  if (!isTimer(timer)) {
    report(`timer that can be read: it is ${toText(timer)}`)
    return
  }
  const { type } = timer.event
  for (const path of [timer.source, timer.target])
    if (findActor(root, path) === undefined) report(`timer \`${type}\` with child \`${path.join('/')}\``)
  const target = findActor(root, timer.target)
  if (target?.kind === 'machine' && !takes(target, type)) {
    const of = timer.target.length === 0 ? '' : ` of child \`${timer.target.join('/')}\``
    report(`timer \`${type}\`${of}`)
  }
}

/** An `after` belongs to a state that it is in. Any other event may find a state that takes it by the time it comes. */
function takes({ machine, states }: Extract<Found, { kind: 'machine' }>, type: string): boolean {
  if (type.startsWith(AFTER)) return [...states].some((node) => node.transitions.has(type))
  for (const node of walkStates(machine.root))
    for (const descriptor of node.transitions.keys()) if (isMatch(descriptor, type)) return true
  return false
}

const isMatch = (descriptor: string, type: string): boolean =>
  descriptor === type || descriptor === '*' || (descriptor.endsWith('.*') && `${type}.`.startsWith(descriptor.slice(0, -1)))

/** `undefined`: the snapshot has no such actor. */
function findActor(root: Found, path: readonly string[]): Found | undefined {
  let at: Found | undefined = root
  for (const id of path) {
    if (at?.kind === 'missing') return at
    at = at?.kind === 'machine' ? at.children.get(id) : undefined
  }
  return at
}

function findState(machine: AnyStateMachine, id: unknown): AnyStateNode | undefined {
  if (typeof id !== 'string') return undefined
  try {
    return machine.getStateNodeById(id)
  } catch {
    return undefined
  }
}

const isBelow = (node: AnyStateNode, ancestor: AnyStateNode | undefined): boolean =>
  node.parent !== undefined && (node.parent === ancestor || isBelow(node.parent, ancestor))

const nameOf = (node: AnyStateNode, ...keys: readonly string[]): string =>
  `state \`${[node.machine.id, ...node.path, ...keys].join('.')}\``

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** What stands where something else was expected; its content may be anything. */
function toText(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60))
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object of another shape'
  return typeof value === 'function' || typeof value === 'symbol' ? typeof value : `\`${String(value)}\``
}
