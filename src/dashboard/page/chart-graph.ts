/** The chart of a machine as a graph that can be laid out: boxes within boxes, and labelled edges. */
import type { StateDescription, TransitionDescription } from '../../runtime/machine-description.ts'
import { toDuration } from './time.ts'

/** A box or a dot. Places are from the upper left corner of the chart. */
export interface ChartNode {
  readonly id: string
  /** Undefined: the dot that an initial state is entered from. */
  readonly state: StateDescription | undefined
  readonly lines: readonly string[]
  readonly isRegion: boolean
  readonly children: readonly ChartNode[]
  readonly width: number
  readonly height: number
}

export interface ChartEdge {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly lines: readonly string[]
}

export interface ChartGraph {
  readonly root: ChartNode
  readonly edges: readonly ChartEdge[]
}

export const LINE = 18
export const PADDING = 12
const TITLE = 22
const DOT = 10
const MAX_LINES = 3
const MAX_LABEL = 32

export function toChartGraph(machine: StateDescription, measure: (text: string, isTitle: boolean) => number): ChartGraph {
  const edges = new Map<string, { from: string; to: string; lines: string[] }>()
  const nodes = new Map<string, StateDescription>()

  const toNode = (state: StateDescription, isRegion: boolean): ChartNode => {
    nodes.set(state.id, state)
    const lines = state.type === 'history' ? [] : state.invokes.map(({ id, src }) => `▸ ${cut(src === 'inline' ? id : src)}`)
    const children = state.states.map((child) => toNode(child, state.type === 'parallel'))
    if (state.initial !== undefined && children.length > 0) {
      const dot = `${state.id}·initial`
      children.unshift({ id: dot, state: undefined, lines: [], isRegion: false, children: [], width: DOT, height: DOT })
      edges.set(dot, { from: dot, to: state.initial, lines: [] })
    }
    for (const transition of state.transitions)
      for (const target of transition.targets) {
        const key = `${state.id} → ${target}`
        const edge = edges.get(key) ?? { from: state.id, to: target, lines: [] }
        const label = toLabel(transition)
        if (!edge.lines.includes(label)) edge.lines.push(label)
        edges.set(key, edge)
      }
    const widest = Math.max(measure(toTitle(state), true), ...lines.map((line) => measure(line, false)))
    const isSmall = state.type === 'history'
    return {
      id: state.id,
      state,
      lines,
      isRegion,
      children,
      width: isSmall ? 28 : Math.ceil(Math.max(56, widest + 2 * PADDING + (state.type === 'final' ? 8 : 0))),
      height: isSmall ? 28 : 2 * PADDING + TITLE - 4 + lines.length * LINE,
    }
  }

  const root = toNode(machine, false)
  return {
    root,
    edges: [...edges]
      .filter(([, { from, to }]) => (nodes.has(from) || from.endsWith('·initial')) && nodes.has(to))
      .map(([id, { from, to, lines }]) => ({ id, from, to, lines: shorten(lines) })),
  }
}

export const toTitle = ({ key, history }: StateDescription): string =>
  history === undefined ? key : history === 'deep' ? 'H*' : 'H'
export const titleHeight = ({ lines }: ChartNode): number => TITLE + PADDING + lines.length * LINE

const cut = (text: string): string => (text.length > MAX_LABEL ? `${text.slice(0, MAX_LABEL - 1)}…` : text)

const shorten = (lines: readonly string[]): readonly string[] =>
  lines.length <= MAX_LINES
    ? lines.map(cut)
    : [...lines.slice(0, MAX_LINES - 1).map(cut), `and ${lines.length - MAX_LINES + 1} more`]

/** An event as a person says it. */
export function toEventText({ event, delay }: Pick<TransitionDescription, 'event' | 'delay'>): string {
  if (delay !== undefined) return `after ${/^\d+$/.test(delay) ? toDuration(Number(delay)).replace('.0 ', ' ') : delay}`
  if (event === '') return 'always'
  const [, outcome, what = ''] = /^xstate\.(done|error)\.(?:actor|state)\.(.*)$/.exec(event) ?? []
  if (outcome === undefined) return event
  return `${what.slice(what.lastIndexOf('.') + 1) || 'actor'} ${outcome === 'done' ? 'done' : 'failed'}`
}

function toLabel(transition: TransitionDescription): string {
  const { guard } = transition
  const event = toEventText(transition)
  const condition = guard === undefined ? '' : `[${guard === 'inline' ? 'if' : guard}]`
  return event === 'always' && condition !== '' ? condition : [event, condition].filter(Boolean).join(' ')
}
