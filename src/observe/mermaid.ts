import type { AnyStateMachine } from 'xstate'
import { describeMachine, type StateDescription, type TransitionDescription } from '../runtime/machine-description.ts'

/**
 * Draws an XState machine as a Mermaid state diagram (`stateDiagram-v2`), as GitHub and many other readers of Markdown show it. Transitions are written as in UML: `event [guard] / actions`; delayed
 * events as `after 1000`, eventless ones without an event. What a state invokes stands in its name as `do / actor`; a history state is `H`, a deep one `H*`. Machines among its actors are drawn
 * by themselves, when they are asked for.
 *
 * @example
 * ```ts
 * console.log('```mermaid\n' + toMermaid(machine) + '```')
 * ```
 */
export function toMermaid(machine: AnyStateMachine): string {
  const { root, machines } = describeMachine(machine)
  const top = machines[root]
  if (top === undefined) throw new TypeError(`Expected \`machine\` to be a machine, got \`${String(machine)}\``)
  const names = new Map<string, string>()
  const parents = new Map<string, string>()
  const walk = (state: StateDescription): void => {
    names.set(state.id, `s${names.size}`)
    for (const child of state.states) {
      parents.set(child.id, state.id)
      walk(child)
    }
  }
  walk(top)
  const nameOf = (id: string): string => names.get(id) ?? id

  const toArrows = (state: StateDescription): readonly Arrow[] =>
    state.transitions.flatMap((transition) => {
      const targets = transition.targets.length === 0 ? [state.id] : transition.targets
      return targets.map((target) => ({ from: state.id, to: target, label: toLabel(transition, state.id) }))
    })
  const toLine = ({ from, to, label }: Arrow): string =>
    `${nameOf(from)} --> ${nameOf(to)}${label === '' ? '' : ` : ${toText(label)}`}`

  /** Arrows between neighbours stand where these do: elsewhere they would draw the states out of their parent. */
  const far: Arrow[] = []
  const toBody = (state: StateDescription): readonly string[] => {
    const states = state.states.flatMap((child, index) => [
      ...(state.type === 'parallel' && index > 0 ? ['--'] : []),
      ...toState(child),
    ])
    const initial = state.type === 'compound' && state.initial !== undefined ? [`[*] --> ${nameOf(state.initial)}`] : []
    const near: string[] = []
    for (const arrow of state.states.flatMap(toArrows)) {
      if (state.type !== 'parallel' && parents.get(arrow.to) === state.id) near.push(toLine(arrow))
      else far.push(arrow)
    }
    const finals = state.states.filter(({ type }) => type === 'final').map(({ id }) => `${nameOf(id)} --> [*]`)
    return [...states, ...initial, ...near, ...finals]
  }
  const toState = (state: StateDescription): readonly string[] => {
    const head = `state "${toText(toTitle(state))}" as ${nameOf(state.id)}`
    return state.states.length === 0 ? [head] : [`${head} {`, ...toBody(state).map((line) => `  ${line}`), '}']
  }

  // What the machine itself does, or is, needs a box to show it on.
  const isBox = top.type !== 'compound' || top.transitions.length > 0 || top.invokes.length > 0
  const body = isBox ? [...toState(top), `[*] --> ${nameOf(top.id)}`, ...toArrows(top).map(toLine)] : toBody(top)
  return `${['stateDiagram-v2', ...[...body, ...far.map(toLine)].map((line) => `  ${line}`)].join('\n')}\n`
}

interface Arrow {
  readonly from: string
  readonly to: string
  readonly label: string
}

function toTitle({ key, type, history, invokes }: StateDescription): string {
  if (type === 'history') return `${history === 'deep' ? 'H*' : 'H'} ${key}`
  return [key, ...invokes.map(({ src }) => `do / ${src}`)].join(' · ')
}

const done = /^xstate\.(done|error)\.(actor|state)\.(.+)$/

function toLabel({ event, delay, guard, actions }: TransitionDescription, state: string): string {
  const [, end, of, id = ''] = done.exec(event) ?? []
  const trigger =
    delay !== undefined ? `after ${delay}` : end === undefined ? event : of === 'actor' && id !== state ? `${end} ${id}` : end
  return [
    ...(trigger === '' ? [] : [trigger]),
    ...(guard === undefined ? [] : [`[${guard}]`]),
    ...(actions.length === 0 ? [] : [`/ ${actions.join(', ')}`]),
  ].join(' ')
}

/** What Mermaid would read as its own is written as a character's number. */
const toText = (text: string): string =>
  text.replace(/[^\w .,/+*·[\]()-]/gu, (character) => (/\p{L}/u.test(character) ? character : `#${character.codePointAt(0)};`))
