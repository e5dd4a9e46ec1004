import { isDeepStrictEqual } from 'node:util'
import type { StateValue } from 'xstate'
import { type PendingTimers, toPendingTimers } from '../runtime/taken-record.ts'
import { type Divergence, toPlaceText } from './divergence.ts'
import { findDifferences } from './machine-difference.ts'
import type { Note } from './machine-giving.ts'
import type { TakenRecording } from './machine-recording.ts'
import type { MachineStage } from './machine-stage.ts'
import type { RunRecording } from './recording.ts'

/** Looks, after each thing that a machine took, whether it is where it was then; tells of the first time that it is not: what comes later may follow from that. */
export function createJudge(stage: MachineStage, note: Note): (one: TakenRecording) => void {
  let state: StateValue | undefined
  let timers: PendingTimers = [0, undefined]
  let isTold = false

  const tell = (one: TakenRecording): void => {
    const { value } = stage.root.getSnapshot()
    const pending = toPendingTimers(stage.timers())
    const isOther = !isDeepStrictEqual(value, state)
    if (!isOther && isDeepStrictEqual(pending, timers)) return
    isTold = true
    const what = one.name === 'event' ? `(\`${one.event.type}\`) leads` : 'leads'
    if (isOther) {
      const texts = `the state \`${JSON.stringify(value)}\` instead of \`${JSON.stringify(state)}\``
      note(one.place, 'state', `${what} to ${texts}`, { recorded: state, replayed: value })
    } else if (pending[0] !== timers[0]) {
      const texts = `${pending[0]} delayed events that are pending instead of ${timers[0]}`
      note(one.place, 'state', `${what} to ${texts}`, { recorded: timers[0], replayed: pending[0] })
    } else {
      const times = { recorded: timers[1], replayed: pending[1] }
      note(one.place, 'changed', `${what} to a delayed event that has another delay`, { changed: ['delay'], ...times })
    }
  }
  return (one) => {
    state = one.state ?? state
    timers = one.timers ?? timers
    if (one.isJoined !== true && !isTold) tell(one)
  }
}

/** The steps that nobody asked for. What was asked of a person about a step in doubt belongs to that. */
export const findUnused = ({ id, steps }: RunRecording, asked: ReadonlySet<string>): readonly Divergence[] =>
  steps
    .filter(({ key, kind }) => kind !== 'doubt' && !asked.has(key))
    .map(({ key: place, value: recorded }) => {
      const at = { runId: id, turn: undefined, place }
      return {
        ...at,
        kind: 'unused',
        changed: [],
        recorded,
        text: `${toPlaceText(at)} is in the recording and was not asked for`,
      }
    })

/** Where the run comes to something else: the parts of its state, and what they are. */
export function compareStates({ id, machine }: RunRecording, replayed: RunRecording): readonly Divergence[] {
  const found = findDifferences(machine?.state, replayed.machine?.state)
  if (found.length === 0) return []
  const at = { runId: id, turn: undefined, place: undefined }
  const toParts = (side: 'a' | 'b'): object => Object.fromEntries(found.map((one) => [one.path, one[side]]))
  const paths = found.map(({ path }) => `\`${path}\``).join(', ')
  const text = `${toPlaceText(at)} comes to something else: ${paths}`
  return [{ ...at, kind: 'result', changed: [], recorded: toParts('a'), replayed: toParts('b'), text }]
}
