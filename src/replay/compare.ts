import { isDeepStrictEqual } from 'node:util'
import { isPerdureError, toMessage } from '../errors.ts'
import { type Divergence, type Place, toPlaceText } from './divergence.ts'
import type { RunRecording, TurnRecording } from './recording.ts'

/** What two recordings of one run came to, where that is not the same. */

const toDivergence = (divergence: Omit<Divergence, 'text' | 'changed'>, what: string): Divergence => ({
  ...divergence,
  changed: [],
  text: `${toPlaceText(divergence)} ${what}`,
})

/** What can be compared of an error: another process has another stack. */
export const toErrorText = (error: unknown): string =>
  isPerdureError(error) ? `${error.code}: ${error.message}` : toMessage(error)

/** What a turn came to: its answer, or what it failed with. */
const toOutcome = ({ record }: TurnRecording): unknown =>
  record.status === 'ok' ? record.output : record.status === 'error' ? { error: toErrorText(record.error) } : undefined

/** Compares the turns of a conversation. */
export function compareConversations(recorded: RunRecording, replayed: RunRecording | undefined): readonly Divergence[] {
  return recorded.turns.flatMap((turn) => {
    const at: Place = { runId: recorded.id, turn: turn.turn, place: undefined }
    const now = replayed?.turns.find((other) => other.turn === turn.turn)
    if (now === undefined)
      return [toDivergence({ ...at, kind: 'unused', recorded: turn.prompt }, 'is in the recording and was not asked for')]
    const [before, after] = [toOutcome(turn), toOutcome(now)]
    if (!isDeepStrictEqual(before, after) && turn.record.status !== 'intended')
      return [toDivergence({ ...at, kind: 'result', recorded: before, replayed: after }, 'comes to something else')]
    return findUnused(recorded.id, turn, now)
  })
}

/** What waits for a person may not be needed: a call that was in doubt then is not now. */
const isNeeded = (kind: string): boolean => kind === 'model' || kind === 'tool'

function findUnused(runId: string, recorded: TurnRecording, replayed: TurnRecording): readonly Divergence[] {
  const asked = new Set(replayed.calls.map(({ place }) => place))
  return recorded.calls
    .filter(({ kind, status, place }) => isNeeded(kind) && status === 'ok' && !asked.has(place))
    .map(({ place, value }) =>
      toDivergence(
        { runId, turn: recorded.turn, place, kind: 'unused', recorded: value },
        'is in the recording and was not asked for',
      ),
    )
}
