import { isDeepStrictEqual } from 'node:util'
import type { Message } from '../machines/conversation.ts'
import { compareFingerprints, type Fingerprint } from '../runtime/fingerprint.ts'
import type { ReplayPart } from './divergence.ts'
import type { RunRecording, TurnRecording } from './recording.ts'

/** How a model is asked in a replay; `runId` is that of the replay. */
export interface AskedRequest {
  readonly runId: string
  readonly messages: readonly Message[]
  /** How the turn is asked now, when it begins with the message at `start`. */
  readonly toFingerprint: (start: number) => Fingerprint
}

/** In which way it is asked otherwise than it was. */
interface RequestChange {
  /** Of its turn: what follows from it is no change of its own. */
  readonly isFirst: boolean
  readonly changed: readonly ReplayPart[]
  /** The first message of the conversation that is another, if one is. */
  readonly recorded: Message | undefined
  readonly replayed: Message | undefined
  readonly text: string
}

type RequestCheck = (request: AskedRequest, run: RunRecording, turn: TurnRecording) => RequestChange | undefined

/** Compares the requests of a replay, in their order, with those that were recorded. `undefined`: it is asked as it was. */
export function createRequestCheck(): RequestCheck {
  /** How many messages of each conversation are known to be those that were recorded. */
  const checked = new Map<string, number>()
  /** Where each turn of the replay begins in its conversation. */
  const starts = new Map<string, number>()
  /** Turns of which is known that they are asked in another way. */
  const told = new Set<string>()

  const findOther = (runId: string, recorded: readonly Message[], messages: readonly Message[]): number | undefined => {
    const first = checked.get(runId) ?? 0
    for (let index = first; index < messages.length; index++) {
      if (!isDeepStrictEqual(messages[index], recorded[index])) return index
      checked.set(runId, index + 1)
    }
    return undefined
  }

  return ({ runId, messages, toFingerprint }, run, { turn, record: { fingerprint, start } }) => {
    const known = `${runId}#${turn}`
    // The first request of a turn ends with its prompt.
    const begun = starts.get(known) ?? messages.length - 1
    starts.set(known, begun)
    const changed: ReplayPart[] = [...compareFingerprints(fingerprint, toFingerprint(begun))]
    const other = findOther(runId, run.messages, messages)
    if (other !== undefined && !(other === start && changed.includes('prompt'))) changed.push('earlier result')
    if (changed.length === 0) return undefined
    const isFirst = !told.has(known)
    told.add(known)
    const [recorded, replayed] = other === undefined ? [] : [run.messages[other], messages[other]]
    const which = changed.includes('earlier result') ? `: message ${(other ?? 0) + 1} of the conversation is another` : ''
    return { isFirst, changed, recorded, replayed, text: `is asked in another way (${changed.join(', ')})${which}` }
  }
}
