import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import type { StateDescription } from '../../runtime/machine-description.ts'
import { type ChartEdge, type ChartGraph, type ChartNode, LINE, PADDING, toChartGraph, toTitle } from './chart-graph.ts'
import type { ChartLayout } from './chart-layout.ts'
import { toActivePaths } from './state-text.ts'
import { toVisible } from './text.tsx'

interface ChartProps {
  readonly machine: StateDescription
  readonly active: ReadonlySet<StateDescription>
  /** The values of states that it was seen in, oldest first. */
  readonly seen: readonly unknown[]
  readonly selected: string | undefined
  readonly onSelect: (id: string) => void
}

const FONT = '500 13px system-ui, sans-serif'
const TITLE_FONT = '600 14px system-ui, sans-serif'
const LABEL_FONT = '12px system-ui, sans-serif'

let ruler: CanvasRenderingContext2D | null = null
function measure(text: string, font: string): number {
  ruler ??= document.createElement('canvas').getContext('2d')
  if (ruler === null) return text.length * 8
  ruler.font = font
  return ruler.measureText(text).width
}

type Direction = 'RIGHT' | 'DOWN'

async function layOutBoth(graph: ChartGraph): Promise<Readonly<Record<Direction, ChartLayout>>> {
  const { layOut } = await import('./chart-layout.ts')
  const toWidth = (text: string): number => measure(text, LABEL_FONT)
  const [RIGHT, DOWN] = await Promise.all([layOut(graph, 'RIGHT', toWidth), layOut(graph, 'DOWN', toWidth)])
  return { RIGHT, DOWN }
}

/** The middle of the innermost active state that comes first. */
function toPlace(
  layout: ChartLayout | undefined,
  active: ChartProps['active'],
): { readonly x: number; readonly y: number } | undefined {
  const state = [...active].find(({ states }) => states.every((child) => !active.has(child)))
  const box = state === undefined ? undefined : layout?.boxes.get(state.id)
  return box === undefined ? undefined : { x: box.x + box.width / 2, y: box.y + box.height / 2 }
}

/** Smaller than this it cannot be read: it is scrolled. */
const SMALLEST = 0.75
const zooms = [0.4, 0.5, 0.65, 0.8, 1, 1.25, 1.6, 2] as const

export function Chart({ machine, active, seen, selected, onSelect }: ChartProps) {
  const graph = useMemo(() => toChartGraph(machine, (text, isTitle) => measure(text, isTitle ? TITLE_FONT : FONT)), [machine])
  const [layouts, setLayouts] = useState<Readonly<Record<Direction, ChartLayout>> | undefined>(undefined)
  const [error, setError] = useState<string | undefined>(undefined)
  const [zoom, setZoom] = useState<number | undefined>(undefined)
  const [turned, setTurned] = useState<Direction | undefined>(undefined)
  const box = useRef<HTMLDivElement>(null)
  useEffect(() => {
    let isOver = false
    setLayouts(undefined)
    layOutBoth(graph).then(
      (found) => isOver || setLayouts(found),
      (thrown: unknown) => isOver || setError(String(thrown)),
    )
    return () => {
      isOver = true
    }
  }, [graph])
  const width = (box.current?.parentElement?.clientWidth ?? 900) - 24
  const direction =
    turned ??
    (layouts === undefined || layouts.RIGHT.width <= width || layouts.RIGHT.width <= layouts.DOWN.width ? 'RIGHT' : 'DOWN')
  const layout = layouts?.[direction]
  const scale = zoom ?? Math.max(SMALLEST, Math.min(1, width / (layout?.width ?? width)))
  const place = toPlace(layout, active)
  useEffect(() => {
    const element = box.current
    if (element === null || place === undefined) return
    element.scrollLeft = place.x * scale - element.clientWidth / 2
    element.scrollTop = place.y * scale - element.clientHeight / 2
  }, [place?.x, place?.y, scale])
  if (error !== undefined) return <p class="deed-error">{error}</p>
  const step = (by: 1 | -1): void => {
    const next = by === 1 ? zooms.find((each) => each > scale + 0.01) : zooms.findLast((each) => each < scale - 0.01)
    if (next !== undefined) setZoom(next)
  }
  return (
    <figure class="chart">
      <div class="chart-tools">
        <button type="button" aria-label="Smaller" onClick={() => step(-1)}>
          −
        </button>
        <button type="button" onClick={() => setZoom(undefined)}>
          Fit
        </button>
        <button type="button" aria-label="Larger" onClick={() => step(1)}>
          +
        </button>
        <button
          type="button"
          aria-label="Turn the chart"
          onClick={() => {
            setTurned(direction === 'RIGHT' ? 'DOWN' : 'RIGHT')
            setZoom(undefined)
          }}
        >
          {direction === 'RIGHT' ? '↓' : '→'}
        </button>
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what is scrolled has to be reached by the keyboard */}
      <div class="chart-scroll" ref={box} tabIndex={0} role="group" aria-label={`Statechart of ${machine.key}`}>
        {layout === undefined ? (
          <p class="quiet">Drawing…</p>
        ) : (
          <svg
            width={layout.width * scale}
            height={layout.height * scale}
            viewBox={`0 0 ${layout.width} ${layout.height}`}
            role="group"
            aria-label={`Active: ${
              [...active]
                .map(({ key }) => key)
                .slice(1)
                .join(', ') || 'none'
            }`}
          >
            <Arrows />
            <Drawing graph={graph} layout={layout} active={active} seen={seen} selected={selected} onSelect={onSelect} />
          </svg>
        )}
      </div>
    </figure>
  )
}

const Arrows = () => (
  <defs>
    {['edge', 'taken'].map((kind) => (
      <marker key={kind} id={`arrow-${kind}`} viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
        <path d="M0,0.5 L7.5,4 L0,7.5 z" class={`arrow ${kind}`} />
      </marker>
    ))}
  </defs>
)

function Drawing(props: Omit<ChartProps, 'machine'> & { readonly graph: ChartGraph; readonly layout: ChartLayout }) {
  const { graph, layout, active, seen, selected, onSelect } = props
  const root = graph.root.id
  const visited = new Set(seen.flatMap((value) => toActivePaths(value).map((path) => `${root}.${path}`)))
  const steps = new Set(
    seen.slice(1).flatMap((value, index) => {
      const before = toActivePaths(seen[index])
      return toActivePaths(value).flatMap((to) => before.map((from) => `${root}.${from} → ${root}.${to}`))
    }),
  )
  return (
    <>
      <Node node={graph.root} layout={layout} active={active} visited={visited} selected={selected} onSelect={onSelect} />
      {graph.edges.map((edge) => (
        <Edge key={edge.id} edge={edge} layout={layout} isTaken={steps.has(edge.id)} />
      ))}
    </>
  )
}

interface NodeProps extends Pick<ChartProps, 'active' | 'selected' | 'onSelect'> {
  readonly node: ChartNode
  readonly layout: ChartLayout
  readonly visited: ReadonlySet<string>
}

function Node({ node, ...rest }: NodeProps) {
  const { layout, active, visited, selected, onSelect } = rest
  const box = layout.boxes.get(node.id)
  if (box === undefined) return null
  const { state } = node
  if (state === undefined)
    return <circle class="dot" cx={box.x + box.width / 2} cy={box.y + box.height / 2} r={box.width / 2 - 1} />
  const { x, y, width, height } = box
  const isActive = active.has(state)
  const isLeaf = node.children.length === 0
  const data = {
    'data-type': state.type,
    'data-active': isActive,
    'data-leaf': isLeaf,
    'data-region': node.isRegion,
    'data-visited': visited.has(state.id),
    'data-selected': selected === state.id,
  }
  return (
    <>
      <g
        class="state"
        {...data}
        role="button"
        tabIndex={0}
        aria-label={`${state.key}, ${state.type}${isActive ? ', active' : ''}`}
        onClick={() => onSelect(state.id)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' || event.key === ' ') {
            event.preventDefault()
            onSelect(state.id)
          }
        }}
      >
        {state.description !== undefined && <title>{toVisible(state.description)}</title>}
        <rect class="state-box" x={x} y={y} width={width} height={height} rx={state.type === 'history' ? width / 2 : 8} />
        {state.type === 'final' && <rect class="state-inner" x={x + 4} y={y + 4} width={width - 8} height={height - 8} rx={5} />}
        {isLeaf ? (
          <text class="state-title" x={x + width / 2} y={y + (height - node.lines.length * LINE) / 2 + 5} text-anchor="middle">
            {toTitle(state)}
          </text>
        ) : (
          <text class="state-title" x={x + PADDING} y={y + PADDING + 12}>
            {state.key}
            {state.type === 'parallel' ? ' ∥' : ''}
          </text>
        )}
        {node.lines.map((line, index) => (
          <text
            key={line}
            class="state-line"
            x={isLeaf ? x + width / 2 : x + PADDING}
            y={y + PADDING + 32 + index * LINE - (isLeaf ? 4 : 0)}
            text-anchor={isLeaf ? 'middle' : 'start'}
          >
            {line}
          </text>
        ))}
      </g>
      {node.children.map((child) => (
        <Node key={child.id} node={child} {...rest} />
      ))}
    </>
  )
}

const CORNER = 6

/** A line with round corners. */
function toPath(points: readonly (readonly [number, number])[]): string {
  return points
    .map(([x, y], index) => {
      const before = points[index - 1]
      const after = points[index + 1]
      if (before === undefined) return `M${x},${y}`
      if (after === undefined) return `L${x},${y}`
      const towards = ([ax, ay]: readonly [number, number]): string => {
        const length = Math.hypot(ax - x, ay - y)
        const part = length === 0 ? 0 : Math.min(CORNER, length / 2) / length
        return `${x + (ax - x) * part},${y + (ay - y) * part}`
      }
      return `L${towards(before)} Q${x},${y} ${towards(after)}`
    })
    .join(' ')
}

function Edge({ edge, layout, isTaken }: { readonly edge: ChartEdge; readonly layout: ChartLayout; readonly isTaken: boolean }) {
  const line = layout.edges.get(edge.id)
  if (line === undefined || line.points.length === 0) return null
  const { points, label } = line
  return (
    <g class="edge" data-taken={isTaken}>
      <path d={toPath(points)} marker-end={`url(#arrow-${isTaken ? 'taken' : 'edge'})`} />
      {label !== undefined && (
        <>
          <rect class="edge-back" x={label.x} y={label.y} width={label.width} height={label.height} rx={3} />
          {edge.lines.map((text, index) => (
            <text
              key={text}
              class="edge-label"
              x={label.x + label.width / 2}
              y={label.y + 14 + index * (LINE - 2)}
              text-anchor="middle"
            >
              {text}
            </text>
          ))}
        </>
      )}
    </g>
  )
}
