import type { AnswerReader } from './draft.ts'
import { readShape, responseShape, responsesEventShape } from './wire-shape.ts'

/** Reads an answer that is made in the background, over as many connections as it takes, and knows how far it is. */
export interface BackgroundReader extends AnswerReader {
  /** The answer's id, once it is known. */
  readonly responseId: string | undefined
  /** Resolves when the id is known. */
  readonly known: Promise<void>
  /** The number of the last event that was read: a stream goes on after it. */
  readonly lastEvent: number | undefined
  /** How much was read: it grows as long as the answer makes progress. */
  readonly progress: number
  /** The provider's last word was heard, good or bad: nothing more will come of this answer. */
  readonly isOver: boolean
  /** Whether a stream can be taken up: it was not read from, or its events have numbers. */
  readonly canContinue: boolean
}

const lastWords: readonly unknown[] = ['response.completed', 'response.incomplete', 'response.failed']
const unfinished: readonly unknown[] = ['queued', 'in_progress']

/** Reads with `inner`. Calls `onResponse` with the answer's id, once. */
export function createBackgroundReader(inner: AnswerReader, onResponse: (responseId: string) => void): BackgroundReader {
  let responseId: string | undefined
  let lastEvent: number | undefined
  let progress = 0
  let isOver = false
  const known = Promise.withResolvers<void>()

  function meet(id: string | null | undefined): void {
    if (id === null || id === undefined || id === '' || responseId !== undefined) return
    responseId = id
    known.resolve()
    onResponse(id)
  }

  return {
    readEvent(value) {
      const { type, response, sequence_number: number } = readShape(responsesEventShape, value)
      // Not every server starts after the event that it is told.
      if (typeof number === 'number' && lastEvent !== undefined && number <= lastEvent) return
      isOver = lastWords.includes(type)
      meet(response?.id)
      inner.readEvent(value)
      progress += 1
      lastEvent = number ?? undefined
    },
    readWhole(body) {
      const { id, status } = readShape(responseShape, body)
      meet(id)
      if (unfinished.includes(status)) return
      isOver = true
      inner.readWhole(body)
    },
    isFinished: inner.isFinished,
    draft: inner.draft,
    known: known.promise,
    get responseId() {
      return responseId
    },
    get lastEvent() {
      return lastEvent
    },
    get progress() {
      return progress
    },
    get isOver() {
      return isOver
    },
    get canContinue() {
      return progress === 0 || lastEvent !== undefined
    },
  }
}
