import type { ModelRequest } from '../../actors/model.ts'
import type { PlayedAnswer } from '../playback.ts'
import type { WireObject } from './wire-value.ts'

/** One server-sent event, and what it is for. Without the `ending` a stream does not say that it is complete. */
export interface Frame {
  readonly part: 'opening' | 'delta' | 'ending'
  readonly text: string
}

/** Why an answer ends. `none`: it does not say that it does. `failed`: the provider gave up in the middle. */
export type Finish = 'stop' | 'length' | 'refusal' | 'none' | 'failed'

/** How it is with an answer that is made in the background. */
export type BackgroundStatus = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

/** Everything an answer is written from. The key gives it its ids, so they depend on the conversation alone. */
export interface AnswerFacts {
  readonly key: string
  readonly request: ModelRequest
  readonly body: WireObject
  readonly played: PlayedAnswer
  readonly finish: Finish
  /** The id of an answer that is made in the background. */
  readonly responseId?: string
}

/** A server-sent event. */
export function toEvent(data: WireObject | string, event?: string): string {
  const text = typeof data === 'string' ? data : JSON.stringify(data)
  return `${event === undefined ? '' : `event: ${event}\n`}data: ${text}\n\n`
}

/** The pieces in which a model writes arguments. */
export function toFragments(text: string): readonly string[] {
  return text.match(/[\s\S]{1,12}/gu) ?? []
}

/** The same request gets the same bytes: times do not come from a clock. */
export const createdAt = 1_767_225_600

/** What of a stream comes before a fault in its middle. */
export function toFirstHalf(frames: readonly Frame[]): readonly Frame[] {
  const openings = frames.filter((frame) => frame.part === 'opening')
  const deltas = frames.filter((frame) => frame.part === 'delta')
  return [...openings, ...deltas.slice(0, Math.ceil(deltas.length / 2))]
}
