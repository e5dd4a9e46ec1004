import type { ModelRequest } from '../actors/model.ts'
import type { Usage } from '../machines/conversation.ts'

/** A tool call that a script asks for. */
export interface ScriptedCall {
  readonly name: string
  /** An object is written as JSON; a text goes out as it is, also when it is no JSON. Default `{}`. */
  readonly arguments?: object | string
  /** Default: `call_<number of messages>_<index>`, so the same conversation gives the same ids in every process. */
  readonly id?: string
}

/**
 * What goes wrong with an answer.
 *
 * - `{ status }`: an HTTP error instead of an answer
 * - `disconnect`: the connection is reset before the first byte
 * - `hang`: the request is taken and nothing comes
 * - `stall`: half of the answer comes, then nothing more
 * - `cut`: half of the answer comes, then the connection breaks
 * - `malformed`: half of the answer comes, then bytes that are no JSON
 * - `empty`: an answer without any content
 * - `no-finish`: everything but the word that the answer is complete
 * - `length`: the answer ends at the token limit
 * - `refusal`: the text is a refusal
 * - `stream-error`: half of the answer comes, then an error of the provider inside the stream (a 500 when nothing is streamed)
 */
export type Fault =
  | {
      readonly status: number
      /** An object is written as JSON. Default: OpenAI's error object for this status. */
      readonly body?: object | string
      readonly headers?: Readonly<Record<string, string>>
    }
  | 'disconnect'
  | 'hang'
  | 'stall'
  | 'cut'
  | 'malformed'
  | 'empty'
  | 'no-finish'
  | 'length'
  | 'refusal'
  | 'stream-error'

/** What a scripted model says once. */
export interface ScriptedAnswer {
  /** Default: the `deltas` joined, else nothing. */
  readonly text?: string
  /** The pieces in which the text arrives; joined they are the text. Default: its words. */
  readonly deltas?: readonly string[]
  readonly toolCalls?: readonly ScriptedCall[]
  /** What differs from the estimate: a token for every four characters. */
  readonly usage?: Partial<Usage>
  /** US dollars. In-process only: OpenAI's wire has no place for it. Default: unknown. */
  readonly costUsd?: number
  /** Thrown instead of an answer. A server makes an HTTP error of it, by its code. */
  readonly error?: Error
  readonly fault?: Fault
  /** How long the answer lets wait for its first piece, in milliseconds. Default 0. */
  readonly delayMs?: number
  /** What the answer waits for besides. */
  readonly until?: Promise<unknown>
  /**
   * Asserts on what was asked; `call` counts from 1. What it throws is the `cause` of the `MODEL_BAD_REQUEST` that the call fails with, and `done()` throws that again: an agent takes a
   * call that failed for bad luck. Default: anything may be asked.
   */
  readonly expect?: (request: ModelRequest, call: number) => void | Promise<void>
}

/**
 * What a model says: answers in the order in which they are asked for, or a function that reads the conversation and
 * decides. A text is short for `{ text }`. `call` counts from 1. Prefer the function where a process may die and ask again:
 * it says the same for the same conversation, whoever asks.
 */
export type Script =
  | readonly (ScriptedAnswer | string)[]
  | ((request: ModelRequest, call: number) => ScriptedAnswer | string | Promise<ScriptedAnswer | string>)
