import { isDeepStrictEqual } from 'node:util'
import type { ModelAnswer, ToolMessage } from '../machines/conversation.ts'
import { compareFingerprints } from '../runtime/fingerprint.ts'
import { readOwnSpend } from '../runtime/run-spend.ts'
import type { Spend } from '../runtime/spend.ts'
import { type Aligned, align } from './align.ts'
import { toErrorText } from './compare.ts'
import type { ReplayPart } from './divergence.ts'
import type { RecordedCall } from './recorded-call.ts'
import type { RunRecording, TurnRecording } from './recording.ts'

/** What of a run, turn or call is another. Of what it costs and how long it takes nothing is said: see its figures. */
export type DiffPart = Exclude<ReplayPart, 'earlier result'> | 'kind' | 'name' | 'status' | 'input' | 'arguments' | 'result'

/** One thing in two runs. `removed`: only `a` has it. `added`: only `b`. `same`: nothing of it, and of what is in it, is another. */
export interface Pair<T> {
  readonly change: 'same' | 'changed' | 'removed' | 'added'
  readonly a: T | undefined
  readonly b: T | undefined
  /** What of itself is another. */
  readonly changed: readonly DiffPart[]
}

interface Figures {
  readonly status: string
  /** What it came to: the last answer, what a flow, step or tool returned. A text for a model, and for what failed. */
  readonly result: unknown
  /** Tokens, US dollars, and milliseconds of calls. */
  readonly spend: Spend
  /** From its begin to its end in milliseconds, however long nobody worked on it; `undefined`: it has not ended. */
  readonly durationMs: number | undefined
}

/** What is compared of a run. `spend` is without the runs within it. */
export interface RunFigures extends Figures {
  readonly id: string
  readonly kind: RunRecording['kind']
  readonly name: string
  /** Of a flow or a machine. */
  readonly input: unknown
  readonly turns: number
}

/** What is compared of a turn. */
export interface TurnFigures extends Figures {
  readonly turn: number
  readonly prompt: string
}

/** What is compared of a call or step. */
export interface CallFigures extends Figures {
  readonly key: string
  readonly kind: string
  readonly name: string
  readonly arguments: string | undefined
  readonly attempt: number
}

/** A call of one run beside that of the other. */
export type CallDiff = Pair<CallFigures>

export interface TurnDiff extends Pair<TurnFigures> {
  readonly calls: readonly CallDiff[]
}

/** How two runs differ. Plain data, also as JSON. */
export interface RunDiff extends Pair<RunFigures> {
  /** Of conversations. */
  readonly turns: readonly TurnDiff[]
  /** Of flows and machines. */
  readonly steps: readonly CallDiff[]
  /** The runs that belong to them, by what follows their own ids. */
  readonly within: readonly RunDiff[]
}

/**
 * Compares two runs. Their turns, calls and steps are put together in their order: those that are the same, then those that have the same prompt, key or tool. Any two can be
 * compared.
 *
 * @example
 * ```ts
 * const { replayed } = await replayRun(recording, { agent, onMiss: 'live' })
 * if (replayed !== undefined) console.log(formatDiff(diffRuns(recording, replayed)))
 * ```
 */
export function diffRuns(a: RunRecording, b: RunRecording): RunDiff {
  const own = diffOne(a, b)
  const within = alignWithin(a, b).map(({ a: one, b: other }) => diffOne(one, other))
  return { ...own, within, change: toChange(own, [own, ...within]) }
}

function diffOne(a: RunRecording | undefined, b: RunRecording | undefined): RunDiff {
  const turns = align(toTurns(a, b), toTurns(b, a), toTurnLikeness, SAME_TURN).map(diffTurn)
  const steps = align(a?.steps ?? [], b?.steps ?? [], toStepLikeness, SAME_STEP).map(diffCall)
  const [left, right] = [a && toRunFigures(a), b && toRunFigures(b)]
  const parts = ['kind', 'name', 'status', 'input', 'result'] as const
  const pair = toPair(left, right, findOther(left, right, parts))
  return { ...pair, change: toChange(pair, [...turns, ...steps]), turns, steps, within: [] }
}

/** The turns of a run. Of a fork, those before it are the other's, if the messages up to there are the same. */
function toTurns(run: RunRecording | undefined, other: RunRecording | undefined): readonly TurnRecording[] {
  const { turns = [], fork, messages = [] } = run ?? {}
  const start = turns[0]?.record.start ?? messages.length
  const isShared = fork !== undefined && isDeepStrictEqual(messages.slice(0, start), other?.messages.slice(0, start))
  return isShared ? [...(other?.turns ?? []).filter(({ turn }) => turn < fork.turn), ...turns] : turns
}

/** Those that have the same place below the runs that they belong to. */
function alignWithin(a: RunRecording, b: RunRecording): readonly Aligned<RunRecording>[] {
  const toPlace = (run: RunRecording, within: RunRecording): string => within.id.slice(run.id.length)
  const places = new Set([...a.within.map((run) => toPlace(a, run)), ...b.within.map((run) => toPlace(b, run))])
  const find = (run: RunRecording, place: string) => run.within.find((within) => toPlace(run, within) === place)
  return [...places].sort().map((place) => ({ a: find(a, place), b: find(b, place) }) as Aligned<RunRecording>) // one of them has it
}

function diffTurn({ a, b }: Aligned<TurnRecording>): TurnDiff {
  const calls = align(a?.calls ?? [], b?.calls ?? [], toCallLikeness, SAME_CALL).map(diffCall)
  const [left, right] = [a && toTurnFigures(a), b && toTurnFigures(b)]
  const asked = a && b ? compareFingerprints(a.record.fingerprint, b.record.fingerprint) : []
  const pair = toPair(left, right, [...asked, ...findOther(left, right, ['status', 'result'])])
  return { ...pair, change: toChange(pair, calls), calls }
}

function diffCall({ a, b }: Aligned<RecordedCall>): CallDiff {
  const [left, right] = [a && toCallFigures(a), b && toCallFigures(b)]
  return toPair(left, right, findOther(left, right, ['name', 'arguments', 'status', 'result']))
}

function toPair<T>(a: T | undefined, b: T | undefined, changed: readonly DiffPart[]): Pair<T> {
  const change = a === undefined ? 'added' : b === undefined ? 'removed' : changed.length === 0 ? 'same' : 'changed'
  return { change, a, b, changed }
}

const toChange = (own: Pair<unknown>, parts: readonly Pair<unknown>[]): RunDiff['change'] =>
  own.change === 'same' && parts.some(({ change }) => change !== 'same') ? 'changed' : own.change

function findOther<T extends object, P extends keyof T & DiffPart>(
  a: T | undefined,
  b: T | undefined,
  parts: readonly P[],
): readonly P[] {
  return a === undefined || b === undefined ? [] : parts.filter((part) => !isDeepStrictEqual(a[part], b[part]))
}

/** Two turns may belong together whatever was asked. */
const toTurnLikeness = (a: TurnRecording, b: TurnRecording): number => (a.prompt === b.prompt ? SAME_TURN : 1)
const SAME_TURN = 4

/** The ids of calls are the provider's. */
function toCallLikeness(a: RecordedCall, b: RecordedCall): number {
  if (a.kind !== b.kind || (a.kind !== 'model' && a.name !== b.name)) return 0
  return 1 + (a.arguments === b.arguments ? 2 : 0) + (isDeepStrictEqual(toResult(a), toResult(b)) ? 1 : 0)
}
const SAME_CALL = 4

const toStepLikeness = (a: RecordedCall, b: RecordedCall): number =>
  a.key === b.key ? SAME_STEP : a.kind === b.kind && a.name === b.name ? 1 : 0
const SAME_STEP = 4

function toRunFigures(run: RunRecording): RunFigures {
  const { id, kind, name, status, input, output, turns, fork, createdAt, endedAt, head } = run
  const error = (head.data as { readonly error?: unknown }).error // of a flow or machine that failed
  const last = turns.at(-1)
  const lastAt = kind === 'agent' ? last?.endedAt : endedAt
  return {
    id,
    kind,
    name,
    status,
    input,
    result: status === 'failed' ? toErrorText(error) : output,
    turns: last?.turn ?? (fork === undefined ? 0 : fork.turn - 1),
    spend: readOwnSpend(head),
    durationMs: lastAt === undefined ? undefined : lastAt - createdAt,
  }
}

function toTurnFigures({ turn, prompt, record, startedAt, endedAt }: TurnRecording): TurnFigures {
  const { status, spend } = record
  const result = record.status === 'ok' ? record.output : record.status === 'error' ? toErrorText(record.error) : undefined
  return { turn, prompt, status, result, spend, durationMs: endedAt === undefined ? undefined : endedAt - startedAt }
}

function toCallFigures(call: RecordedCall): CallFigures {
  const { key, kind, name, status, attempt, spend, startedAt, endedAt } = call
  const durationMs = endedAt === undefined ? undefined : endedAt - startedAt
  return { key, kind, name, status, attempt, arguments: call.arguments, result: toResult(call), spend, durationMs }
}

/** What a call came to, without what two that say the same may differ in: ids, tokens. */
function toResult({ kind, status, value, error }: RecordedCall): unknown {
  if (status === 'error') return toErrorText(error)
  if (value === undefined) return undefined
  if (kind === 'tool') return (value as ToolMessage).content // the tool actor's output
  if (kind !== 'model') return value
  const { content, toolCalls } = (value as ModelAnswer).message // the model actor's output
  return [...(content === '' ? [] : [content]), ...toolCalls.map((call) => `${call.name}(${call.arguments})`)].join(' ')
}
