import { headKey, headsWithin, stepKey, stepRange, toRunId, toStep } from '../persistence/keys.ts'
import { type Head, parseHead, parseStep, type StepRecord } from '../persistence/run-record.ts'
import type { Store } from '../persistence/store.ts'
import { type StreamedCall, toAnswer } from './stream-call.ts'
import { compareTurns, parseCallKey, toAgentOf, toCallsEnd, toCallsFrom } from './stream-key.ts'
import { addAgent, findAgent, type StreamPosition } from './stream-position.ts'
import { TAKEN_KEYS } from './taken-record.ts'

/** A recorded call that may have more to give. */
export interface RecordedCall {
  readonly runId: string
  readonly key: string
  readonly startedAt: number
}

/** A call as it was recorded, with `epoch` as its own. */
export function toRecordedCall(runId: string, key: string, record: StepRecord, epoch: number): StreamedCall {
  const { kind, name, attempt, status, retryAt } = record
  const answer = kind === 'model' && status === 'ok' ? toAnswer(record.value) : undefined
  return {
    runId,
    key,
    kind,
    name,
    attempt,
    epoch,
    isRestarted: retryAt !== undefined,
    status,
    text: answer?.text,
    pieces: answer?.pieces ?? [],
    progress: [],
    progressed: 0,
  }
}

/**
 * Finds the recorded calls that are to be looked at to go on from a position: those that were given in part, the model calls that came after, and those
 * of the same turn, which may have been made again. For who comes anew, those of the turn that is under way, or was last.
 *
 * What it reads is as much as there is to give, beside a look at each run within and, for who goes on, at each agent of a machine's run. Errors: `RUN_CORRUPT`.
 */
export async function findRecorded(
  store: Store,
  root: Head,
  position: StreamPosition,
  isNew: boolean,
  now: number,
): Promise<RecordedCall[]> {
  const lists: RecordedCall[][] = []
  for await (const head of headsOf(store, root)) {
    const isHeard = [...position.agents.values(), ...position.others.values()].some(({ runId }) => runId === head.id)
    const isWanted = isNew ? head.id === root.id || head.status === 'running' : head.updatedAt > position.since
    if (!isHeard && !isWanted) continue
    for await (const agent of agentsOf(store, head, position, isNew)) {
      const found = await findOfAgent(store, head.id, agent, position, isNew, now)
      if (found.length > 0) lists.push(found)
    }
  }
  for (const { runId, key } of position.others.values()) lists.push([{ runId, key, startedAt: 0 }])
  return merge(lists)
}

async function* headsOf(store: Store, root: Head): AsyncIterable<Head> {
  yield root
  for await (const [key, bytes] of store.entries(headsWithin(root.id))) yield parseHead(toRunId(key), key, bytes)
}

async function* agentsOf(store: Store, head: Head, position: StreamPosition, isNew: boolean): AsyncIterable<string> {
  if (head.kind === 'agent') return yield ''
  const known = [...position.agents.values()].filter(({ runId }) => runId === head.id).map(({ agent }) => agent)
  yield* known
  if (head.kind === 'flow' || (isNew && known.length > 0)) return
  if (!isNew) return yield* otherAgents(store, head.id, known)
  // Nothing is in flight: the one that was heard of last.
  let last: { agent: string; at: number } | undefined
  for await (const agent of otherAgents(store, head.id, known)) {
    const newest = await readNewest(store, head.id, agent)
    if (newest !== undefined && (last === undefined || newest.startedAt >= last.at)) last = { agent, at: newest.startedAt }
  }
  if (last !== undefined) yield last.agent
}

/** The agents that a machine's run has invoked, but those; from agent to agent, without reading what lies between. */
async function* otherAgents(store: Store, runId: string, known: readonly string[]): AsyncIterable<string> {
  const { lt } = stepRange(runId)
  for (let gte = stepRange(runId).gte; ; ) {
    let next: string | undefined
    for await (const [key] of store.entries({ gte, lt, limit: 1 })) {
      const step = toStep(runId, key)
      const agent = toAgentOf(step)
      if (agent !== undefined && !known.includes(agent)) yield agent
      const numbered = /^(.*)#\d+$/s.exec(step)?.[1]
      if (agent !== undefined) next = stepKey(runId, toCallsEnd(agent))
      else if (step.startsWith(TAKEN_KEYS))
        next = stepKey(runId, `${TAKEN_KEYS.slice(0, -1)}0`) // the character after `/`
      else next = numbered === undefined ? `${key}\0` : stepKey(runId, `${numbered}$`)
    }
    if (next === undefined) return
    gte = next
  }
}

async function findOfAgent(
  store: Store,
  runId: string,
  agent: string,
  position: StreamPosition,
  isNew: boolean,
  now: number,
): Promise<RecordedCall[]> {
  const known = findAgent(position, runId, agent)
  const newest = await readNewest(store, runId, agent)
  if (newest === undefined) return []
  if (known === undefined && !isNew) {
    if (newest.endedAt !== undefined && newest.endedAt <= position.since) return []
    const all = await readModelCalls(store, runId, agent, '')
    return all.filter(({ endedAt }) => endedAt !== undefined && endedAt > position.since)
  }
  if (known === undefined) addAgent(position, runId, agent, newest.turn, now)
  const turn = known?.turn ?? newest.turn
  if (compareTurns(newest.turn, turn) < 0) {
    // The conversation went back behind what was given; or what was given last did not come to the disk, and is yet to be made again.
    const again = await readModelCalls(store, runId, agent, newest.turn)
    return again.filter((call) => call.turn === newest.turn && call.startedAt > position.heardAt)
  }
  const calls = await readModelCalls(store, runId, agent, turn)
  // A turn that was started over may have left records of how it went before.
  const last = new Map(calls.map((call) => [Number.parseInt(call.turn, 10) || call.turn, call.turn]))
  return calls.filter((call) => last.get(Number.parseInt(call.turn, 10) || call.turn) === call.turn)
}

interface ModelCall extends RecordedCall {
  readonly turn: string
  readonly endedAt: number | undefined
}

/** The model calls of an agent from a turn on, in the order in which it made them. */
async function readModelCalls(store: Store, runId: string, agent: string, from: string): Promise<ModelCall[]> {
  const calls: (ModelCall & { readonly answer: number })[] = []
  const range = { gte: stepKey(runId, toCallsFrom(agent, from)), lt: stepKey(runId, toCallsEnd(agent)) }
  for await (const [stored, bytes] of store.entries(range)) {
    const key = toStep(runId, stored)
    const place = parseCallKey(key)
    if (place?.isModel !== true || place.agent !== agent) continue
    const { startedAt, endedAt } = parseStep(runId, stored, bytes)
    calls.push({ runId, key, turn: place.turn, answer: place.answer, startedAt, endedAt })
  }
  return calls.sort((one, other) => compareTurns(one.turn, other.turn) || one.answer - other.answer)
}

/** The newest call of an agent, of whatever kind. */
async function readNewest(
  store: Store,
  runId: string,
  agent: string,
): Promise<(Pick<StepRecord, 'startedAt' | 'endedAt'> & { readonly turn: string }) | undefined> {
  const range = { gte: stepKey(runId, toCallsFrom(agent)), lt: stepKey(runId, toCallsEnd(agent)), reverse: true, limit: 1 }
  for await (const [key, bytes] of store.entries(range)) {
    const turn = parseCallKey(toStep(runId, key))?.turn
    const { startedAt, endedAt } = parseStep(runId, key, bytes)
    if (turn !== undefined) return { turn, startedAt, endedAt }
  }
  return undefined
}

/** By time, as far as the order of each list allows. */
function merge(lists: RecordedCall[][]): RecordedCall[] {
  const merged: RecordedCall[] = []
  const rest = lists.map((list) => [...list].reverse())
  for (;;) {
    let first: RecordedCall[] | undefined
    for (const list of rest) {
      const [one, other] = [list.at(-1), first?.at(-1)]
      if (one !== undefined && (other === undefined || one.startedAt < other.startedAt)) first = list
    }
    const call = first?.pop()
    if (call === undefined) return merged
    merged.push(call)
  }
}

export async function readRecord(store: Store, { runId, key }: RecordedCall): Promise<StepRecord | undefined> {
  const stored = stepKey(runId, key)
  const bytes = await store.get(stored)
  return bytes === undefined ? undefined : parseStep(runId, stored, bytes)
}

/** Whether nothing more will come of a run: it has ended, or what it belongs to has. */
export async function isOver(store: Store, { endedAt, data }: Head): Promise<boolean> {
  if (endedAt !== undefined) return true
  const parent = typeof data === 'object' && data !== null && 'parent' in data ? data.parent : undefined
  if (typeof parent !== 'string') return false
  const bytes = await store.get(headKey(parent))
  return bytes === undefined || parseHead(parent, headKey(parent), bytes).endedAt !== undefined
}
