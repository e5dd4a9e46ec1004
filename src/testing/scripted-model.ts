import type { Model, ModelCallContext, ModelRequest } from '../actors/model.ts'
import { isSuspension } from '../actors/suspension.ts'
import { PerdureError } from '../errors.ts'
import type { ModelAnswer } from '../machines/conversation.ts'
import { toFaultError } from './fault-error.ts'
import { type AnswerPiece, type GrowingAnswer, startAnswer } from './growing-answer.ts'
import { toFragments } from './openai/wire-answer.ts'
import { forever, orAborted, pauseBefore, type Sleep, sleep } from './pause.ts'
import { type Playback, type PlayedAnswer, toPlayback } from './playback.ts'
import type { Script } from './script.ts'

/** How a {@link scriptedModel} answers. */
export interface ScriptedModelOptions {
  /** How long every answer lets wait for its first piece, in milliseconds. Default 0. */
  readonly delayMs?: number
  /** The wait between two pieces of text. Default 0. */
  readonly chunkDelayMs?: number
  /** What waits. Default: the real clock. */
  readonly sleep?: Sleep
  /**
   * Whether an answer goes on without whoever asked, and can be had later by its id: {@link Model.resume}. It ends when it is cancelled, and with the
   * process. Default false.
   */
  readonly background?: boolean
}

/** A model that says what it was told to. */
export interface ScriptedModel extends Model {
  /** Everything it was asked, in order. A call that was aborted before it began is not in here. */
  readonly requests: readonly ModelRequest[]
  /** How often it was asked. */
  readonly calls: number
  /** The ids that {@link Model.resume} was called with, in order. */
  readonly resumed: readonly string[]
  /** Throws when answers of the script were never asked for, more was asked than it has, or something else than an answer's `expect` takes. A function has no end. */
  readonly done: () => void
}

/**
 * A model without network: it answers from a script, with ids and usage that depend on the conversation alone.
 *
 * A call rejects with the answer's `error`; with the `MODEL_*` code of its fault; with `MODEL_BAD_REQUEST` and the number of
 * the call when the script has no answer left; with `ABORTED` when the signal aborts, also while it waits.
 *
 * @example
 * ```ts
 * import { scriptedModel } from 'perdure/testing'
 *
 * const model = scriptedModel([{ toolCalls: [{ name: 'weather', arguments: { city: 'Paris' } }] }, 'It is sunny.'])
 * ```
 */
export function scriptedModel(script: Script, options: ScriptedModelOptions = {}): ScriptedModel {
  const playback = toPlayback(script)
  const requests: ModelRequest[] = []
  const resumed: string[] = []
  const answers = new Map<string, GrowingAnswer>()

  const start = (request: ModelRequest): GrowingAnswer => {
    requests.push(request)
    return startAnswer((signal, tell) => play(playback, request, { signal, tell }, options))
  }
  const model: Model = async (request, context) => {
    const { signal } = context
    if (signal.aborted) throw toAborted(request, signal)
    const answer = start(request)
    const responseId = `resp_${requests.length}`
    if (options.background === true) {
      answers.set(responseId, answer)
      context.onResponse(responseId)
    }
    return await hear(answer, request, context, options.background !== true)
  }
  const resume: Model['resume'] = async (responseId, request, context) => {
    resumed.push(responseId)
    const answer = answers.get(responseId)
    if (answer === undefined || answer.status === 'failed') return undefined
    return await hear(answer, request, context, false)
  }
  const members = {
    requests,
    resumed,
    done: playback.done,
    get calls() {
      return requests.length
    },
    resume: options.background === true ? resume : undefined,
  }
  // `defineProperties` returns the type it was given; the descriptors are those of the other members. Unlike `assign` it keeps the getter.
  return Object.defineProperties(model, Object.getOwnPropertyDescriptors(members)) as ScriptedModel
}

/** Passes an answer on as it grows. Whoever stops to listen ends it, unless it goes on in the background and this is but a suspension. */
async function hear(
  answer: GrowingAnswer,
  request: ModelRequest,
  { signal, onText, onArguments }: ModelCallContext,
  isBound: boolean,
): Promise<ModelAnswer> {
  try {
    for await (const piece of answer.pieces.read(0, signal)) {
      if (piece.type === 'text') onText(piece.delta)
      else onArguments({ callId: piece.callId, name: piece.name, delta: piece.delta })
    }
    return await orAborted(answer.result, signal)
  } catch (error) {
    if (isBound || !isSuspension(signal)) answer.cancel()
    throw signal.aborted ? toAborted(request, signal) : error
  }
}

async function play(
  playback: Playback,
  request: ModelRequest,
  { signal, tell }: { readonly signal: AbortSignal; readonly tell: (piece: AnswerPiece) => void },
  { delayMs = 0, chunkDelayMs = 0, sleep: wait = sleep }: ScriptedModelOptions,
): Promise<ModelAnswer> {
  const played = await orAborted(playback.next(request), signal)
  await pauseBefore(played, delayMs, wait, signal)
  if (played.error !== undefined) throw played.error
  const fault = played.text === '' && played.toolCalls.length === 0 ? (played.fault ?? 'empty') : played.fault
  for (const [index, piece] of toPieces({ ...played, fault }).entries()) {
    if (index > 0 && chunkDelayMs > 0) await orAborted(wait(chunkDelayMs, signal), signal)
    signal.throwIfAborted()
    tell(piece)
  }
  signal.throwIfAborted()
  if (fault === 'hang' || fault === 'stall') return orAborted(forever, signal)
  if (fault !== undefined) throw toFaultError(fault, request.model)
  return {
    message: { role: 'assistant', content: played.text, toolCalls: played.toolCalls },
    usage: played.usage,
    costUsd: played.costUsd,
    model: request.model,
    responseId: undefined,
  }
}

/** What comes through before the fault: the text, then the arguments of each call. */
function toPieces({ fault, deltas, toolCalls }: PlayedAnswer): readonly AnswerPiece[] {
  const texts = deltas.map((delta): AnswerPiece => ({ type: 'text', delta }))
  const calls = toolCalls.flatMap(({ id: callId, name, arguments: text }) =>
    toFragments(text).map((delta): AnswerPiece => ({ type: 'arguments', callId, name, delta })),
  )
  if (fault === undefined || fault === 'no-finish' || fault === 'length') return [...texts, ...calls]
  const isBroken = fault === 'cut' || fault === 'stall' || fault === 'malformed' || fault === 'stream-error'
  return isBroken ? texts.slice(0, Math.ceil(texts.length / 2)) : []
}

function toAborted(request: ModelRequest, signal: AbortSignal): PerdureError {
  const message = `The call of model "${request.model}" was aborted. Start the run again to ask once more.`
  return new PerdureError('ABORTED', message, { cause: signal.reason, details: { model: request.model } })
}
