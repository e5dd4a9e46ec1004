import { z } from 'zod'
import { stepRange, toStep } from '../persistence/keys.ts'
import type { Head, StepRecord } from '../persistence/run-log.ts'
import { parseStep } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { toChildId } from '../runtime/child-id.ts'
import { toSpend } from '../runtime/spend.ts'
import type { StepStatus } from '../runtime/step-list.ts'
import { TAKEN } from '../runtime/taken-record.ts'
import { parseTurn, type RecordedTurn } from '../runtime/turn-record.ts'
import type { CallNode, ErrorText, TurnNode } from './management.ts'
import { readHeadData, toErrorText } from './reading.ts'

/** What the journal of a run says, as a tree. */
interface RunTree {
  readonly tree: readonly TurnNode[]
  readonly steps: readonly CallNode[]
  readonly input: unknown
  readonly output: unknown
}

export interface TreeSource {
  readonly head: Head
  /** The heads of the runs that belong to it. */
  readonly children: readonly Head[]
  /** Where the steps stand, by key: only the process that executes them knows. */
  readonly statuses: ReadonlyMap<string, StepStatus>
  /** What a turn was asked, by the number of messages before it. */
  readonly promptAt: (start: number) => string | undefined
}

type Growing<T extends { readonly calls: readonly CallNode[] }> = Omit<T, 'calls'> & { readonly calls: CallNode[] }

const notShown: ReadonlySet<string> = new Set(['id', 'flow', TAKEN])

/** Errors: `RUN_CORRUPT`. */
export async function readTree(store: Store, source: TreeSource): Promise<RunTree> {
  const { head, children, statuses, promptAt } = source
  const data = readHeadData(head)
  const turns = new Map<number, { readonly node: Growing<TurnNode>; readonly recorded: RecordedTurn }>()
  const nodes = new Map<string, Growing<CallNode>>()
  const calls: (readonly [key: string, record: StepRecord])[] = []
  let input: unknown
  let output: unknown
  for await (const [at, bytes] of store.entries(stepRange(head.id))) {
    const key = toStep(head.id, at)
    const record = parseStep(head.id, at, bytes)
    if (key === 'flow/input' || key === 'machine/input') input = record.value
    else if (key === 'flow/output') output = record.value
    else if (record.kind === 'turn') {
      const recorded = parseTurn(head.id, record, data.turnSpend)
      turns.set(Number(key.slice('turn/'.length)), { node: toTurnNode(key, record, recorded, source), recorded })
    } else if (!notShown.has(record.kind)) calls.push([key, record])
  }
  const attempt = data.attempt ?? 0
  const workers = toWorkers(head.id, children, calls)
  const steps: CallNode[] = []
  for (const [key, record] of calls) {
    const [, number, version] = /^call\/(\d+)\.(\d+)\//.exec(key) ?? []
    const turn = turns.get(Number(number))
    const isVoid = turn !== undefined && turn.recorded.version !== Number(version)
    const node = toCallNode(key, record, {
      status: statuses.get(key),
      isVoid,
      reused: isVoid ? false : isReused(record, turn?.node, attempt),
      runs: workers.get(key) ?? [],
    })
    nodes.set(key, node)
    const parent = findParent(nodes, key) ?? turn?.node
    if (parent === undefined) steps.push(node)
    else parent.calls.push(node)
  }
  return { tree: [...turns.values()].map(({ node }) => node), steps, input, output }

  function toTurnNode(
    key: string,
    record: StepRecord,
    recorded: RecordedTurn,
    { statuses: known }: TreeSource,
  ): Growing<TurnNode> {
    return {
      turn: Number(key.slice('turn/'.length)),
      checkpoint: record.name,
      status: known.get(key) ?? 'running',
      tries: record.attempt,
      startedAt: record.startedAt,
      endedAt: record.endedAt,
      prompt: promptAt(recorded.start),
      output: recorded.status === 'ok' ? recorded.output : undefined,
      error: recorded.status === 'error' ? toErrorText(recorded.error) : undefined,
      spend: recorded.spend,
      calls: [],
    }
  }
}

/** A call under its answer, an approval or a doubt under its call: the keys say so. */
function findParent(nodes: ReadonlyMap<string, Growing<CallNode>>, key: string): Growing<CallNode> | undefined {
  for (let end = key.lastIndexOf('/'); end > 0; end = key.lastIndexOf('/', end - 1)) {
    const parent = nodes.get(key.slice(0, end))
    if (parent !== undefined) return parent
  }
  return undefined
}

const Standing = z.looseObject({ attempt: z.number() })

/** It had settled before what it belongs to was taken up again. */
function isReused({ status, endedAt, data }: StepRecord, turn: Growing<TurnNode> | undefined, attempt: number): boolean {
  if (status === 'intended' || endedAt === undefined) return false
  if (turn !== undefined) return turn.tries > 1 && endedAt < turn.startedAt
  const standing = Standing.safeParse(data)
  return standing.success && standing.data.attempt < attempt
}

/** The runs of agents that worked for calls, by the keys of those. */
function toWorkers(
  runId: string,
  children: readonly Head[],
  calls: readonly (readonly [key: string, record: StepRecord])[],
): ReadonlyMap<string, readonly string[]> {
  const workers = new Map<string, string[]>()
  if (children.length === 0) return workers
  const ids = new Set(children.map(({ id }) => id))
  const names = new Set(children.map(({ name }) => name))
  for (const [key, { kind }] of calls) {
    if (kind === 'model') continue
    const runs = [...names].map((name) => toChildId(runId, name, key)).filter((id) => ids.has(id))
    if (runs.length > 0) workers.set(key, runs)
  }
  return workers
}

const Texts = z.looseObject({ arguments: z.string().optional(), text: z.string().optional() })
const ModelValue = z.looseObject({ message: z.looseObject({ content: z.string() }) })
const ToolValue = z.looseObject({ content: z.string(), isError: z.boolean().optional() })

function toCallNode(
  key: string,
  record: StepRecord,
  place: Pick<CallNode, 'isVoid' | 'reused' | 'runs'> & { readonly status: StepStatus | undefined },
): Growing<CallNode> {
  const { kind, name, attempt, startedAt, endedAt, retryAt, resolution, data } = record
  const texts = Texts.safeParse(data)
  return {
    key,
    kind,
    name,
    status: place.status ?? 'running',
    attempt,
    startedAt,
    endedAt,
    retryAt,
    resolution,
    reused: place.reused,
    isVoid: place.isVoid,
    spend: toSpend(record),
    arguments: texts.success ? (texts.data.arguments ?? texts.data.text) : undefined,
    ...toResult(record),
    runs: place.runs,
    calls: [],
  }
}

function toResult({ kind, status, value, error }: StepRecord): {
  readonly result: unknown
  readonly error: ErrorText | undefined
} {
  if (status === 'error') return { result: undefined, error: toErrorText(error) }
  if (kind === 'model') {
    const answer = ModelValue.safeParse(value)
    return { result: answer.success ? answer.data.message.content : value, error: undefined }
  }
  const told = kind === 'tool' ? ToolValue.safeParse(value) : undefined
  if (told?.success !== true) return { result: value, error: undefined }
  const { content, isError } = told.data
  return { result: content, error: isError === true ? { code: undefined, message: content } : undefined }
}
