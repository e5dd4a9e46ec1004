import { pauseBefore, type Sleep } from '../pause.ts'
import { createTape, type Tape } from '../tape.ts'
import { toBackgroundBody, toResponsesFrames } from './responses-answer.ts'
import type { AnswerFacts, BackgroundStatus, Frame } from './wire-answer.ts'
import type { WireObject } from './wire-value.ts'

/** An answer that is made in the background: whoever asked may come back for it. */
export interface BackgroundAnswer {
  readonly id: string
  readonly status: BackgroundStatus
  /** It can be streamed: it was asked for so. */
  readonly isStreamed: boolean
  /** The events so far. The number of each is its place. */
  readonly frames: Tape<Frame>
  /** The events that there will be. */
  readonly planned: readonly Frame[]
  /** Settles when nothing more will come. Never rejects. */
  readonly done: Promise<void>
  readonly toBody: () => WireObject
  /** Ends it where it is. Without effect once it has ended. */
  readonly cancel: () => void
}

/** How fast an answer is made. */
export interface Pace {
  readonly sleep: Sleep
  readonly delayMs: number
  readonly chunkDelayMs: number
}

/** Events before the answer has begun: created, queued. */
const waitingFrames = 2

/**
 * Makes an answer, whether or not anybody listens: queued at once, in progress after its pause, then piece by piece. With the fault `stream-error` it
 * fails in the middle; other faults are those of a connection.
 */
export function startBackground(facts: AnswerFacts & { readonly responseId: string }, pace: Pace): BackgroundAnswer {
  const { played, body } = facts
  const isFailing = played.fault === 'stream-error'
  const controller = new AbortController()
  const { signal } = controller
  const frames = createTape<Frame>()
  const planned = toResponsesFrames({ ...facts, finish: isFailing ? 'failed' : facts.finish === 'none' ? 'stop' : facts.finish })
  let status: BackgroundStatus = 'queued'

  async function make(): Promise<void> {
    for (const frame of planned.slice(0, waitingFrames)) frames.add(frame)
    await pauseBefore(played, pace.delayMs, pace.sleep, signal)
    status = 'in_progress'
    let isFirst = true
    for (const frame of planned.slice(waitingFrames)) {
      const isPaced = frame.part === 'delta' && !isFirst && pace.chunkDelayMs > 0
      if (frame.part === 'delta') isFirst = false
      if (isPaced) await pace.sleep(pace.chunkDelayMs, signal)
      signal.throwIfAborted()
      if (frame.part === 'ending') status = isFailing ? 'failed' : facts.finish === 'length' ? 'incomplete' : 'completed'
      frames.add(frame)
    }
  }
  const done = make()
    .catch(() => {
      status = signal.aborted ? 'cancelled' : 'failed'
    })
    .finally(() => frames.end())
  return {
    id: facts.responseId,
    isStreamed: body.stream === true,
    frames,
    planned,
    done,
    get status() {
      return status
    },
    toBody: () => toBackgroundBody(facts, status),
    cancel: () => controller.abort(),
  }
}
