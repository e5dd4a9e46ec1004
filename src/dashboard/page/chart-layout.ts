/** Lays a chart out, in a worker: a large one takes a while. */
import ELK, { type ElkExtendedEdge, type ElkNode } from 'elkjs/lib/elk-api.js'
import { type ChartGraph, type ChartNode, LINE, PADDING, titleHeight } from './chart-graph.ts'

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface ChartLayout {
  readonly width: number
  readonly height: number
  readonly boxes: ReadonlyMap<string, Box>
  readonly edges: ReadonlyMap<
    string,
    { readonly points: readonly (readonly [x: number, y: number])[]; readonly label: Box | undefined }
  >
}

let engine: InstanceType<typeof ELK> | undefined

export async function layOut(
  { root, edges }: ChartGraph,
  direction: 'RIGHT' | 'DOWN',
  measure: (text: string) => number,
): Promise<ChartLayout> {
  engine ??= new ELK({ workerFactory: () => new Worker('/layout-worker.js') })
  const graph: ElkNode = {
    id: 'chart',
    layoutOptions: {
      'elk.algorithm': 'layered',
      'elk.direction': direction,
      'elk.hierarchyHandling': 'INCLUDE_CHILDREN',
      'elk.json.shapeCoords': 'ROOT',
      'elk.json.edgeCoords': 'ROOT',
      'elk.edgeRouting': 'ORTHOGONAL',
      'elk.padding': '[top=8,left=8,bottom=8,right=8]',
      'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
      'elk.layered.nodePlacement.strategy': 'NETWORK_SIMPLEX',
      'elk.layered.cycleBreaking.strategy': 'MODEL_ORDER',
      ...spacing,
    },
    children: [toElkNode(root)],
    edges: edges.map(
      ({ id, from, to, lines }): ElkExtendedEdge => ({
        id,
        sources: [from],
        targets: [to],
        labels:
          lines.length === 0
            ? []
            : [
                {
                  id: `${id} label`,
                  text: lines.join('\n'),
                  width: Math.max(...lines.map(measure)) + 8,
                  height: lines.length * (LINE - 2) + 4,
                },
              ],
      }),
    ),
  }
  const laidOut = await engine.layout(graph)
  const boxes = new Map<string, Box>()
  const collect = (node: ElkNode): void => {
    boxes.set(node.id, toBox(node))
    for (const child of node.children ?? []) collect(child)
  }
  collect(laidOut)
  return {
    width: laidOut.width ?? 0,
    height: laidOut.height ?? 0,
    boxes,
    edges: new Map((laidOut.edges ?? []).map((edge) => [edge.id, toLine(edge)])),
  }
}

const spacing = {
  'elk.spacing.nodeNode': '28',
  'elk.spacing.edgeNode': '18',
  'elk.spacing.edgeEdge': '12',
  'elk.spacing.edgeLabel': '4',
  'elk.layered.spacing.nodeNodeBetweenLayers': '36',
  'elk.layered.spacing.edgeNodeBetweenLayers': '18',
  'elk.layered.spacing.edgeEdgeBetweenLayers': '12',
}

function toElkNode(node: ChartNode): ElkNode {
  const { id, children, width, height } = node
  if (children.length === 0) return { id, width, height }
  const top = titleHeight(node)
  return {
    id,
    layoutOptions: {
      'elk.padding': `[top=${top},left=${PADDING + 4},bottom=${PADDING + 4},right=${PADDING + 4}]`,
      'elk.nodeSize.constraints': 'MINIMUM_SIZE',
      'elk.nodeSize.minimum': `(${width},${height})`,
      ...spacing,
    },
    children: children.map(toElkNode),
  }
}

const toBox = ({ x = 0, y = 0, width = 0, height = 0 }: Partial<Box>): Box => ({ x, y, width, height })

function toLine({ sections = [], labels = [] }: ElkExtendedEdge) {
  const points = sections.flatMap(({ startPoint, bendPoints = [], endPoint }) =>
    [startPoint, ...bendPoints, endPoint].map(({ x, y }) => [x, y] as const),
  )
  return { points, label: labels[0] === undefined ? undefined : toBox(labels[0]) }
}
