/**
 * Where a call of an agent is: the agent in its run, the turn (with its version), the number of the model's answer in it, and what of that answer it is.
 * See `turn-record.ts` and the agent machine for how keys are made.
 */
export interface CallPlace {
  /** What comes before: empty for a conversation, the agent for a machine's run. */
  readonly agent: string
  readonly turn: string
  /** Counted from 1. */
  readonly answer: number
  /** The model's request itself, not a tool call of its answer. */
  readonly isModel: boolean
}

/** The place that a step key names; `undefined` when it is not that of an agent's call. */
export function parseCallKey(key: string): CallPlace | undefined {
  const match = /^(|.*?\/)call\/([^/]+)\/m(\d+)(\/.*)?$/s.exec(key)
  if (match === null) return undefined
  const [, agent = '', turn = '', answer = '', rest] = match
  return { agent, turn, answer: Number(answer), isModel: rest === undefined }
}

/** The agent that a step key is of, if any. */
export const toAgentOf = (key: string): string | undefined => /^(|.*?\/)call\//s.exec(key)?.[1]

/** Where the calls of an agent begin; with a turn, those of that turn and of the turns after it. */
export const toCallsFrom = (agent: string, turn = ''): string => `${agent}call/${/^\d+/.exec(turn)?.[0] ?? turn}`
/** What comes after all calls of an agent: the character after `/`. */
export const toCallsEnd = (agent: string): string => `${agent}call0`

export const toModelKey = (agent: string, turn: string, answer: number): string =>
  `${agent}call/${turn}/m${String(answer).padStart(3, '0')}`

/** Turns in the order in which an agent takes them; of the same turn, what it was started over as comes later. */
export function compareTurns(one: string, other: string): number {
  const [turn, version] = toNumbers(one)
  const [otherTurn, otherVersion] = toNumbers(other)
  if (turn !== otherTurn) return turn - otherTurn
  if (version !== otherVersion) return version - otherVersion
  return one < other ? -1 : one > other ? 1 : 0
}

/** Whether what was given of turn `given` is void once the agent is at `turn`: it was started over, or the conversation went back before it. */
export function isOverwritten(given: string, turn: string): boolean {
  if (given === turn) return false
  const [before] = toNumbers(given)
  const [now] = toNumbers(turn)
  return now > 0 && now <= before
}

/** A turn that its caller named otherwise has no number: 0. */
function toNumbers(turn: string): readonly [turn: number, version: number] {
  const match = /^(\d+)(?:\.(\d+))?$/.exec(turn)
  return match === null ? [0, 0] : [Number(match[1]), Number(match[2] ?? 0)]
}
