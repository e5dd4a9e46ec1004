import type { StreamedCall } from './stream-call.ts'
import { createGivenCall, type GivenCall } from './stream-given.ts'
import { type CallPlace, compareTurns, isOverwritten, parseCallKey, toModelKey } from './stream-key.ts'

/** What one subscriber was given of an agent: of the turn that it is at, by answer. What came before is not asked for any more. */
export interface GivenAgent {
  readonly runId: string
  readonly agent: string
  turn: string
  /** The newest answer, and those before it that have not settled. */
  answers: Map<number, GivenCall>
  /** The other answers, which were given to their end; in ascending order. */
  settled: GivenAnswers[]
  /** The highest epoch of a running call that was given of it. */
  epoch: number
}

/** Answers `first` to `last` of a turn, that were given as the same attempt. */
interface GivenAnswers {
  readonly first: number
  readonly last: number
  readonly attempt: number
}

/** What one subscriber was given of a call that is no model call, until it has settled. */
interface GivenOther {
  readonly runId: string
  readonly key: string
  readonly given: GivenCall
}

/** Where one subscriber is. Its size is bounded, however long the run. */
export interface StreamPosition {
  /** When the last chunk was given. Epoch milliseconds. */
  heardAt: number
  /** Of an agent that is not among `agents`, what had settled by then is not asked for. Epoch milliseconds. */
  since: number
  /** The agents heard of, the one that was silent for longest first. */
  readonly agents: Map<string, GivenAgent>
  readonly others: Map<string, GivenOther>
}

/** An attempt that was given and is void. */
export interface Voided {
  readonly runId: string
  readonly key: string
  readonly attempt: number
}

const MAX_AGENTS = 32
const MAX_OTHERS = 256

export const createPosition = (since: number): StreamPosition => ({ heardAt: since, since, agents: new Map(), others: new Map() })

const toAgentId = (runId: string, agent: string): string => `${runId}#${agent}`
const toCallId = (runId: string, key: string): string => `${runId}#${key}`

export const findAgent = ({ agents }: StreamPosition, runId: string, agent: string): GivenAgent | undefined =>
  agents.get(toAgentId(runId, agent))

/** Puts an agent among those that are heard of, at the beginning of a turn. */
export function addAgent(position: StreamPosition, runId: string, agent: string, turn: string, now: number): GivenAgent {
  const added: GivenAgent = { runId, agent, turn, answers: new Map(), settled: [], epoch: 0 }
  position.agents.set(toAgentId(runId, agent), added)
  if (position.agents.size <= MAX_AGENTS) return added
  for (const [id, { answers }] of position.agents) {
    if (id === toAgentId(runId, agent) || ![...answers.values()].every(({ isSettled }) => isSettled)) continue
    position.agents.delete(id)
    position.since = Math.max(position.since, now)
    break
  }
  return added
}

/**
 * Finds what was given of a call; or first, one by one, what of others is void because of it. An agent makes one model call after the other: what was given of
 * later ones, of a turn that it starts over, or of turns that it went back behind, did not come to the disk and is made again.
 * `undefined`: the agent has left the call behind.
 */
export function placeCall(
  position: StreamPosition,
  call: Pick<StreamedCall, 'runId' | 'key' | 'epoch' | 'attempt' | 'status'>,
  isRunning: boolean,
  now: number,
): GivenCall | Voided | undefined {
  const place = parseCallKey(call.key)
  if (place?.isModel !== true) return placeOther(position, call)
  const { runId, status } = call
  const { turn, answer } = place
  const agent = findAgent(position, runId, place.agent) ?? addAgent(position, runId, place.agent, turn, now)
  const isLeft = isRunning && call.epoch < agent.epoch && (status === 'intended' || compareTurns(turn, agent.turn) < 0)
  if (isLeft) return undefined
  if (agent.turn !== turn) {
    const voided = isOverwritten(agent.turn, turn) ? takeVoided(position, agent, 0) : undefined
    if (voided !== undefined) return voided
    for (const [id] of othersOf(position, agent)) position.others.delete(id)
    agent.turn = turn
    agent.answers = new Map()
    agent.settled = []
  }
  // One that was ended and says late how voids nothing: it is the later calls that went on without it.
  const isLate = isRunning && call.epoch < agent.epoch
  const settled = agent.settled.find(({ first, last }) => first <= answer && answer <= last)
  if (settled !== undefined) {
    if (isLate || (status !== 'intended' && settled.attempt === call.attempt)) return undefined
    const voided = takeVoided(position, agent, answer - 1)
    if (voided !== undefined) return voided
  }
  const given = agent.answers.get(answer) ?? createGivenCall()
  if (!isLate && (!given.isSettled || status === 'intended')) {
    const voided = takeVoided(position, agent, answer)
    if (voided !== undefined) return voided
  }
  agent.answers.set(answer, given)
  settleBefore(agent, answer)
  if (isRunning) agent.epoch = Math.max(agent.epoch, call.epoch)
  position.agents.delete(toAgentId(runId, place.agent))
  position.agents.set(toAgentId(runId, place.agent), agent)
  return given
}

/** Whether to place the call is to forget what was given before it: that must have come to the disk, for what did not may be made again, and come to something else. */
export function leavesBehind(position: StreamPosition, { runId, key }: Pick<StreamedCall, 'runId' | 'key'>): boolean {
  const place = parseCallKey(key)
  const agent = place?.isModel === true ? findAgent(position, runId, place.agent) : undefined
  if (place === undefined || agent === undefined) return false
  if (agent.turn === place.turn) return [...agent.answers].some(([answer, { isSettled }]) => isSettled && answer < place.answer)
  return agent.answers.size + agent.settled.length > 0 && compareTurns(place.turn, agent.turn) > 0
}

function placeOther({ others }: StreamPosition, { runId, key }: Pick<StreamedCall, 'runId' | 'key'>): GivenCall {
  const id = toCallId(runId, key)
  const known = others.get(id)
  if (known !== undefined) return known.given
  const [oldest] = others.keys()
  if (others.size >= MAX_OTHERS && oldest !== undefined) others.delete(oldest)
  const given = createGivenCall()
  others.set(id, { runId, key, given })
  return given
}

/** The call has settled and was given: nothing is to be remembered of it, unless it is a model call. */
export function forgetOther({ others }: StreamPosition, { runId, key }: Pick<StreamedCall, 'runId' | 'key'>): void {
  others.delete(toCallId(runId, key))
}

/** Keeps only the attempts of the answers before this one that were given to their end. */
function settleBefore(agent: GivenAgent, answer: number): void {
  for (const [before, { attempt, isSettled }] of agent.answers) {
    if (before >= answer || !isSettled) continue
    agent.answers.delete(before)
    const at = agent.settled.findLastIndex(({ last }) => last < before) + 1
    const previous = agent.settled[at - 1]
    if (previous?.last === before - 1 && previous.attempt === attempt) agent.settled[at - 1] = { ...previous, last: before }
    else agent.settled.splice(at, 0, { first: before, last: before, attempt })
  }
}

/** Takes one of those out that were given of the agent's turn after that answer. */
function takeVoided(position: StreamPosition, agent: GivenAgent, after: number): Voided | undefined {
  const { runId } = agent
  const at = agent.settled.findIndex(({ last }) => last > after)
  const settled = agent.settled[at]
  if (settled !== undefined) {
    const { attempt } = settled
    const answer = Math.max(settled.first, after + 1)
    const parts = [
      { ...settled, last: answer - 1 },
      { ...settled, first: answer + 1 },
    ]
    agent.settled.splice(at, 1, ...parts.filter(({ first, last }) => first <= last))
    return { runId, key: toModelKey(agent.agent, agent.turn, answer), attempt }
  }
  for (const [answer, { attempt }] of agent.answers) {
    if (answer <= after) continue
    agent.answers.delete(answer)
    if (attempt > 0) return { runId, key: toModelKey(agent.agent, agent.turn, answer), attempt }
  }
  for (const [id, { key, given }, place] of othersOf(position, agent)) {
    if (place.answer < after) continue
    position.others.delete(id)
    if (given.attempt > 0) return { runId, key, attempt: given.attempt }
  }
  return undefined
}

/** The tool calls of the agent's turn that have not settled. */
function othersOf({ others }: StreamPosition, { runId, agent, turn }: GivenAgent): [string, GivenOther, CallPlace][] {
  return [...others].flatMap(([id, other]) => {
    const place = other.runId === runId ? parseCallKey(other.key) : undefined
    return place?.agent === agent && place.turn === turn ? [[id, other, place]] : []
  })
}
