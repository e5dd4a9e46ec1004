import { z } from 'zod'
import { createStreamText, type StreamText } from './stream-text.ts'

/** The arguments of a tool call that a model writes. */
export interface StreamedArguments {
  readonly callId: string
  readonly name: string
  readonly text: StreamText
}

/** What there is to give of one call: while it runs, or as it was recorded. */
export interface StreamedCall {
  readonly runId: string
  readonly key: string
  readonly kind: string
  readonly name: string
  readonly attempt: number
  /** A number of its own for what is given from one beginning; another one: it began anew, or comes from elsewhere. */
  readonly epoch: number
  /** It began anew within the attempt: what was given of the attempt before is void. */
  readonly isRestarted: boolean
  readonly status: 'intended' | 'ok' | 'error'
  /** Undefined: not known any more, whatever it was. */
  readonly text: StreamText | undefined
  readonly pieces: readonly StreamedArguments[]
  /** The newest values, and how many there were in all. */
  readonly progress: readonly unknown[]
  readonly progressed: number
}

/** A call while it runs. */
export interface RunningCall extends StreamedCall {
  begin(attempt: number): void
  addText(delta: string): void
  addArguments(piece: { readonly callId: string; readonly name: string; readonly delta: string }): void
  addProgress(value: unknown): void
  restart(): void
  /** Nothing will be added. With what it came to, which need not have been told piece by piece. */
  settle(status: 'ok' | 'error', value: unknown): void
}

/** How many values of progress are kept of a call for who comes late. */
const MAX_PROGRESS = 64

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export function createRunningCall(
  { runId, key, kind, name }: Pick<StreamedCall, 'runId' | 'key' | 'kind' | 'name'>,
  nextEpoch: () => number,
): RunningCall {
  let text = createStreamText()
  let pieces: StreamedArguments[] = []
  let progress: unknown[] = []

  const clear = (): void => {
    text = createStreamText()
    pieces = []
    progress = []
    Object.assign(call, { epoch: nextEpoch(), text, pieces, progress, progressed: 0 })
  }
  const call: Mutable<RunningCall> = {
    runId,
    key,
    kind,
    name,
    attempt: 0,
    epoch: 0,
    isRestarted: false,
    status: 'intended',
    text,
    pieces,
    progress,
    progressed: 0,
    begin(attempt) {
      call.attempt = attempt
      call.isRestarted = false
      clear()
    },
    addText: (delta) => text.append(delta),
    addArguments({ callId, name, delta }) {
      const known = pieces.findLast((piece) => piece.callId === callId && piece.name === name)
      if (known === undefined) pieces.push({ callId, name, text: createStreamText(delta) })
      else known.text.append(delta)
    },
    addProgress(value) {
      progress.push(value)
      if (progress.length > MAX_PROGRESS) progress.shift()
      call.progressed++
    },
    restart() {
      call.isRestarted = true
      clear()
    },
    settle(status, value) {
      call.status = status
      const answer = kind === 'model' && status === 'ok' ? toAnswer(value) : undefined
      if (answer === undefined) return
      const isSame = (piece: StreamedArguments, index: number): boolean => isContinuedBy(piece, answer.pieces[index])
      if (!isContinued(text, answer.text) || !pieces.every(isSame)) call.restart()
      call.text = answer.text
      call.pieces = answer.pieces
    },
  }
  return call
}

const isContinued = (text: StreamText, whole: StreamText): boolean =>
  text.length <= whole.length && whole.until(text.length) === text.from(0)

/** One without an id may have been given one in the answer. */
const isContinuedBy = (piece: StreamedArguments, whole: StreamedArguments | undefined): boolean =>
  whole !== undefined &&
  piece.name === whole.name &&
  (piece.callId === '' || piece.callId === whole.callId) &&
  isContinued(piece.text, whole.text)

const Answer = z.object({
  message: z.object({
    content: z.string(),
    toolCalls: z.array(z.object({ id: z.string(), name: z.string(), arguments: z.string() })),
  }),
})

/** The text and the arguments of a recorded `ModelAnswer`. */
export function toAnswer(value: unknown): { readonly text: StreamText; readonly pieces: StreamedArguments[] } | undefined {
  const parsed = Answer.safeParse(value)
  if (!parsed.success) return undefined
  const { content, toolCalls } = parsed.data.message
  return {
    text: createStreamText(content),
    pieces: toolCalls.map(({ id, name, arguments: text }) => ({ callId: id, name, text: createStreamText(text) })),
  }
}
