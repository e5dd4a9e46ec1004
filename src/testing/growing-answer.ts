import type { ModelAnswer } from '../machines/conversation.ts'
import { createTape, type Tape } from './tape.ts'

/** A piece of an answer, as a model call tells it. */
export type AnswerPiece =
  | { readonly type: 'text'; readonly delta: string }
  | { readonly type: 'arguments'; readonly callId: string; readonly name: string; readonly delta: string }

/** An answer on its way. */
export interface GrowingAnswer {
  readonly pieces: Tape<AnswerPiece>
  readonly result: Promise<ModelAnswer>
  readonly status: 'in_progress' | 'completed' | 'failed'
  /** Ends it. Without effect once it has ended. */
  readonly cancel: () => void
}

/** Starts an answer that grows by itself, whoever listens. */
export function startAnswer(
  make: (signal: AbortSignal, tell: (piece: AnswerPiece) => void) => Promise<ModelAnswer>,
): GrowingAnswer {
  const pieces = createTape<AnswerPiece>()
  const controller = new AbortController()
  let status: GrowingAnswer['status'] = 'in_progress'
  const result = make(controller.signal, pieces.add)
  result.then(
    () => {
      status = 'completed'
      pieces.end()
    },
    () => {
      status = 'failed'
      pieces.end()
    },
  )
  return {
    pieces,
    result,
    get status() {
      return status
    },
    cancel: () => controller.abort(),
  }
}
