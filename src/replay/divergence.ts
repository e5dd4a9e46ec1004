import { PerdureError } from '../errors.ts'
import type { ChangedPart } from '../runtime/events.ts'
import { TAKEN_KEYS } from '../runtime/taken-record.ts'

/** What is another one: a part of how something is asked, what came before it in the conversation, or when it comes. */
export type ReplayPart = ChangedPart | 'earlier result' | 'name' | 'input' | 'arguments' | 'delay'

/** Where a replay is not what was recorded. */
export interface Divergence {
  /**
   * `changed`: it was asked in another way, see `changed`. `missing`: it was not asked, or has no answer, in the recording. `unused`: it is in the recording and was not asked for.
   * `state`: the machine came to another state with it. `result`: it came to something else.
   */
  readonly kind: 'changed' | 'missing' | 'unused' | 'state' | 'result'
  /** The run of the recording that it belongs to. */
  readonly runId: string
  /** From 1; `undefined` outside of a conversation. */
  readonly turn: number | undefined
  /** The request, call or step in it, as `RecordedCall.place`, or what a machine took, as `TakenRecording.place`; `undefined` for a turn or run as a whole. */
  readonly place: string | undefined
  readonly changed: readonly ReplayPart[]
  /** What was recorded, and what it is now, where that is known. */
  readonly recorded?: unknown
  readonly replayed?: unknown
  /** The same in words. */
  readonly text: string
}

export type Place = Pick<Divergence, 'runId' | 'turn' | 'place'>

/** What a person calls a place: `request 2 of turn 1 of run x`. */
export function toPlaceText({ runId, turn, place }: Place): string {
  const parts: string[] = []
  const taken = place?.startsWith(TAKEN_KEYS) === true ? Number(place.slice(TAKEN_KEYS.length)) : undefined
  if (taken !== undefined) return `${taken === 0 ? 'the start' : `event ${taken}`} of run \`${runId}\``
  const [, request, call] = /^m0*(\d+)(?:\/(.+))?$/.exec(place ?? '') ?? []
  if (call !== undefined) parts.push(`call \`${call}\``)
  if (request !== undefined) parts.push(`request ${request}`)
  else if (place !== undefined) parts.push(`\`${place}\``)
  if (turn !== undefined) parts.push(`turn ${turn}`)
  parts.push(`run \`${runId}\``)
  return parts.join(' of ')
}

/** A replay came to what it has no recorded answer for, and must not ask outside. */
export function toDiverged(divergence: Divergence): PerdureError {
  const { runId, turn, place, changed, kind, text } = divergence
  return new PerdureError(
    'REPLAY_DIVERGED',
    `The replay stops: ${text}. Nothing was asked outside. If it is meant to be so, record the run anew, or go on with \`onMiss: 'live'\`.`,
    { details: { run: runId, turn, place, kind, changed } },
  )
}
