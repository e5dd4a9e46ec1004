import type { ModelRequest } from '../../actors/model.ts'
import type { ApiError } from './api-error.ts'
import { toChatBody, toChatFrames } from './chat-answer.ts'
import { parseChatRequest } from './chat-request.ts'
import { toResponsesBody, toResponsesFrames } from './responses-answer.ts'
import { parseResponsesRequest } from './responses-request.ts'
import { type AnswerFacts, type Frame, toEvent } from './wire-answer.ts'
import type { WireObject } from './wire-value.ts'

/** The APIs the server speaks. */
export type ApiName = 'chat' | 'responses'

/** One way to ask and to answer. */
export interface WireApi {
  readonly name: ApiName
  readonly parse: (body: WireObject) => ModelRequest
  readonly toBody: (facts: AnswerFacts) => WireObject
  readonly toFrames: (facts: AnswerFacts) => readonly Frame[]
  /** An error inside a stream that began well. */
  readonly toErrorEvent: (error: ApiError, sequenceNumber: number) => string
  /** The status of the error for a model that is not there: as recorded from OpenAI, the two differ. */
  readonly unknownModelStatus: 400 | 404
}

/** The APIs by the path they are at. */
export const apis: Readonly<Record<string, WireApi>> = {
  '/v1/chat/completions': {
    name: 'chat',
    parse: parseChatRequest,
    toBody: toChatBody,
    toFrames: toChatFrames,
    toErrorEvent: (error) => toEvent({ ...error.toJSON() }),
    unknownModelStatus: 404,
  },
  '/v1/responses': {
    name: 'responses',
    parse: parseResponsesRequest,
    toBody: toResponsesBody,
    toFrames: toResponsesFrames,
    toErrorEvent: (error, number) => toEvent({ type: 'error', ...error.toJSON(), sequence_number: number }, 'error'),
    unknownModelStatus: 400,
  },
}
