import type { StreamedArguments, StreamedCall } from './stream-call.ts'
import { beginsWith, extend, NOTHING, nothingOf, type Prefix } from './stream-text.ts'

/** What one subscriber was given of a call. */
export interface GivenCall {
  attempt: number
  /** That of the {@link StreamedCall} it was taken from; 0: of another process. */
  epoch: number
  text: Prefix
  pieces: Prefix[]
  /** How many values of progress were given or passed over. */
  progress: number
  isSettled: boolean
}

export const createGivenCall = (): GivenCall => ({
  attempt: 0,
  epoch: 0,
  text: NOTHING,
  pieces: [],
  progress: 0,
  isSettled: false,
})

/** What a chunk says, without where. */
export type StreamPiece =
  | {
      /** A piece of the text that the model writes. */
      readonly type: 'text'
      readonly delta: string
    }
  | {
      /** A piece of the arguments of a tool call that the model writes. `callId` may be another in the answer, or empty while it is written. */
      readonly type: 'arguments'
      readonly callId: string
      readonly name: string
      readonly delta: string
    }
  | {
      /** What a step tells while it runs. Never recorded: who comes late gets the newest values. */
      readonly type: 'progress'
      readonly kind: string
      readonly name: string
      readonly value: unknown
      /** How many values before this one were left out. */
      readonly dropped: number
    }
  | {
      /** What was given of this attempt is void: it was cut off or failed, and the call is made again. */
      readonly type: 'discarded'
    }
  | {
      readonly type: 'settled'
      readonly kind: string
      readonly name: string
      readonly status: 'ok' | 'error'
    }

/**
 * The next of what was not given yet, if there is any; `given` has it then. Keeps the promise of a stream: what was given and not said to be void is
 * always the beginning of what there is.
 */
export function nextPiece(given: GivenCall, call: StreamedCall): (StreamPiece & { readonly attempt: number }) | undefined {
  if (given.epoch !== call.epoch || given.attempt !== call.attempt) {
    const relation = relate(given, call)
    if (relation === 'unclear') return undefined
    if (relation === 'other') {
      const { attempt } = given
      const isHeard = hasAny(given)
      Object.assign(given, createGivenCall(), { attempt: call.attempt, epoch: call.epoch })
      if (isHeard) return { type: 'discarded', attempt }
    }
    given.epoch = call.epoch
    given.isSettled &&= call.status !== 'intended'
  }
  const { attempt, kind, name, status } = call
  const text = call.text?.from(given.text.length) ?? ''
  if (text !== '') {
    given.text = extend(given.text, text)
    return { type: 'text', attempt, delta: text }
  }
  for (const [index, piece] of call.pieces.entries()) {
    const known = given.pieces[index]
    const delta = piece.text.from(known?.length ?? 0)
    if (delta === '' && known !== undefined) continue
    given.pieces[index] = extend(known ?? toStart(piece), delta)
    return { type: 'arguments', attempt, callId: piece.callId, name: piece.name, delta }
  }
  if (given.progress < call.progressed) {
    const first = call.progressed - call.progress.length
    const dropped = Math.max(0, first - given.progress)
    const value = call.progress[Math.max(0, given.progress - first)]
    given.progress += dropped + 1
    return { type: 'progress', attempt, kind, name, value, dropped }
  }
  if (given.isSettled || status === 'intended') return undefined
  given.isSettled = true
  return { type: 'settled', attempt, kind, name, status }
}

const hasAny = ({ text, pieces, progress, isSettled }: GivenCall): boolean =>
  text.length > 0 || pieces.length > 0 || progress > 0 || isSettled

const toStart = ({ callId, name }: StreamedArguments): Prefix => nothingOf(`${callId}\n${name}\n`)

/** Whether `call` begins with what was given. */
function relate(given: GivenCall, call: StreamedCall): 'same' | 'other' | 'unclear' {
  const isRunning = call.status === 'intended'
  if (given.attempt !== call.attempt || (call.isRestarted && isRunning)) return 'other'
  // Values cannot be told from those that another process gave: they come anew.
  if (given.progress > 0 && (isRunning || call.progressed > 0)) return 'other'
  if (call.text === undefined) return 'same'
  const parts = [
    { text: call.text, start: NOTHING },
    ...call.pieces.map((piece) => ({ text: piece.text, start: toStart(piece) })),
  ]
  let relation: 'same' | 'unclear' = 'same'
  for (const [index, prefix] of [given.text, ...given.pieces].entries()) {
    const part = parts[index]
    const found = part === undefined ? 'unclear' : beginsWith(part.text, prefix, part.start)
    if (found === 'other') return 'other'
    if (found === 'unclear') relation = 'unclear'
  }
  return relation === 'unclear' && !isRunning ? 'other' : relation
}
