import { isDeepStrictEqual } from 'node:util'
import type { ProfileChange } from '../actors/profile.ts'
import type { AgentContext } from '../machines/agent.ts'
import type { Message } from '../machines/conversation.ts'
import { headsWithin, stepRange, toRunId, toStep } from '../persistence/keys.ts'
import { type Head, loadHead } from '../persistence/run-log.ts'
import { parseHead, parseStep, type RunStatus, type StepRecord } from '../persistence/run-record.ts'
import { loadSnapshotLog } from '../persistence/snapshots.ts'
import type { Store } from '../persistence/store.ts'
import { HeadData } from '../runtime/conversation.ts'
import { parseRecorded } from '../runtime/recorded.ts'
import { toNotFound } from '../runtime/run-errors.ts'
import { TAKEN } from '../runtime/taken-record.ts'
import { parseTurn, type RecordedTurn } from '../runtime/turn-record.ts'
import { type MachineRecording, toMachineRecording } from './machine-recording.ts'
import { type RecordedCall, toCall } from './recorded-call.ts'

/** A turn of a conversation as it was recorded, with the calls of its last version. */
export interface TurnRecording {
  /** From 1. */
  readonly turn: number
  readonly record: RecordedTurn
  readonly prompt: string
  /** Its messages, from the prompt to the last one before the next turn. */
  readonly messages: readonly Message[]
  /** By key: a request, then the calls of its answer. */
  readonly calls: readonly RecordedCall[]
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | undefined
}

/** Everything that is recorded of a run, read at one moment. Plain data: it holds no store. */
export interface RunRecording {
  readonly id: string
  readonly kind: 'agent' | 'flow' | 'machine'
  /** The name of the agent or flow, or the id of the machine. */
  readonly name: string
  readonly status: RunStatus
  /** Epoch milliseconds. */
  readonly createdAt: number
  readonly endedAt: number | undefined
  /** What a flow or a machine was started with. */
  readonly input: unknown
  /** What a flow or a machine came to; the last answer of a conversation. `undefined` while there is none. */
  readonly output: unknown
  /** Of a conversation that was forked: from which run, and its first turn of its own. `profile`: what its agent has instead of what the profile says. */
  readonly fork:
    | { readonly run: string; readonly createdAt: number; readonly turn: number; readonly profile?: ProfileChange | undefined }
    | undefined
  /** Of a conversation: its turns, in their order. Of a fork its own: those before are in `messages`. */
  readonly turns: readonly TurnRecording[]
  /** Of a conversation: all of it, without the system prompt. */
  readonly messages: readonly Message[]
  /** Of a flow or a machine: its steps by their keys, as the journal has them. */
  readonly steps: readonly RecordedCall[]
  /** Of a machine: what else is recorded of it. */
  readonly machine: MachineRecording | undefined
  /** The runs that belong to it, at any depth: the conversations of a flow, the agents that worked for a call. By their ids. */
  readonly within: readonly RunRecording[]
  /** What its runtime keeps in its head. */
  readonly head: Head
}

/**
 * Reads what is recorded of a run and of the runs that belong to it. Changes nothing. Each of them is read as it was between two
 * of its commits, also while it goes on.
 *
 * Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`, `STORE_FORMAT_NEWER`, `RUN_ID_INVALID`.
 *
 * @example
 * ```ts
 * await using store = await openLevelStore('./data')
 * const { turns } = await readRecording(store, 'helper/main')
 * ```
 */
export async function readRecording(store: Store, id: string): Promise<RunRecording> {
  const own = await readAtRest(store, id)
  if (own === undefined) throw toNotFound(id)
  const belonging = new Set([id])
  const within: RunRecording[] = []
  // A run comes behind the one that it belongs to: its id begins with that.
  for await (const [key, bytes] of store.entries(headsWithin(id))) {
    const run = toRunId(key)
    if (!belonging.has(readParent(parseHead(run, key, bytes)) ?? '')) continue
    const recording = await readAtRest(store, run)
    if (recording === undefined) continue // deleted meanwhile
    belonging.add(run)
    within.push(recording)
  }
  return { ...own, within }
}

/** How often a run is read anew that went on meanwhile. */
const MAX_READS = 100

/** The run between two of its commits, also while it goes on: each of them writes the head. `undefined`: there is none. */
async function readAtRest(store: Store, id: string): Promise<RunRecording | undefined> {
  for (let reads = 1; ; reads++) {
    const head = await loadHead(store, id)
    if (head === undefined) return undefined
    const read = await readOne(store, head).then(
      (recording) => ({ recording }),
      (error: unknown) => ({ error }),
    )
    const isAtRest = isDeepStrictEqual(await loadHead(store, id), head)
    if (!isAtRest && reads < MAX_READS) continue
    if ('error' in read) throw read.error
    return read.recording
  }
}

const readParent = ({ data }: Head): string | undefined => {
  const parent = typeof data === 'object' && data !== null && 'parent' in data ? data.parent : undefined
  return typeof parent === 'string' ? parent : undefined
}

async function readOne(store: Store, head: Head): Promise<RunRecording> {
  const { id, name, status, createdAt, endedAt } = head
  const steps: (readonly [string, StepRecord])[] = []
  for await (const [key, bytes] of store.entries(stepRange(id))) steps.push([toStep(id, key), parseStep(id, key, bytes)])
  const kind = head.kind as RunRecording['kind'] // there are no others
  const common = { id, kind, name, status, createdAt, endedAt, head, within: [] }
  if (kind === 'agent') {
    const messages = await readMessages(store, head)
    const turns = readTurns(id, steps, messages)
    const last = turns.at(-1)?.record
    const { fork } = parseRecorded(HeadData, head.data, id, 'head')
    return {
      ...common,
      fork,
      input: undefined,
      output: last?.status === 'ok' ? last.output : undefined,
      turns,
      messages,
      steps: [],
      machine: undefined,
    }
  }
  const [inputKey, outputKey] = kind === 'flow' ? ['flow/input', 'flow/output'] : ['machine/input', '']
  const readValue = (wanted: string): unknown => steps.find(([key]) => key === wanted)?.[1].value
  const isOwn = ([key, step]: readonly [string, StepRecord]): boolean =>
    key !== inputKey && key !== outputKey && step.kind !== TAKEN
  const own = steps.filter(isOwn).map(([key, step]) => toCall(key, key, step))
  const machine = kind === 'machine' ? await readMachine(store, head, steps) : undefined
  return {
    ...common,
    input: readValue(inputKey),
    output: machine === undefined ? readValue(outputKey) : machine.state?.output,
    fork: undefined,
    turns: [],
    messages: [],
    steps: own,
    machine,
  }
}

async function readMachine(
  store: Store,
  head: Head,
  steps: readonly (readonly [string, StepRecord])[],
): Promise<MachineRecording> {
  const { value } = await loadSnapshotLog(store, head.id, head.snapshot)
  const taken = steps.filter(([, { kind }]) => kind === TAKEN)
  return toMachineRecording(head.id, taken, head.taken !== undefined, value)
}

async function readMessages(store: Store, head: Head): Promise<readonly Message[]> {
  const { value } = await loadSnapshotLog(store, head.id, head.snapshot)
  // Written by a durable actor of an agent's machine, and its checksums are right.
  return (value as { readonly actor: { readonly context: AgentContext } } | undefined)?.actor.context.messages ?? []
}

function readTurns(
  id: string,
  steps: readonly (readonly [string, StepRecord])[],
  messages: readonly Message[],
): readonly TurnRecording[] {
  const turns = steps.filter(([key]) => key.startsWith('turn/'))
  const records = turns.map(([key, step]) => ({ key, step, record: parseTurn(id, step) }))
  return records.map(({ key, step, record }, index) => {
    const turn = key.slice('turn/'.length)
    const prefix = `call/${turn}.${record.version}/`
    const own = messages.slice(record.start, records[index + 1]?.record.start)
    const calls = steps
      .filter(([call]) => call.startsWith(prefix))
      .map(([call, made]) => toCall(call, call.slice(prefix.length), made))
    const { startedAt, endedAt } = step
    return { turn: Number(turn), record, prompt: own[0]?.content ?? '', messages: own, calls, startedAt, endedAt }
  })
}
