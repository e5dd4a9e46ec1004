import type { Model, ModelCallContext, ModelRequest } from '../actors/model.ts'
import { PerdureError } from '../errors.ts'
import type { ModelAnswer } from '../machines/conversation.ts'
import { toFaultError } from './fault-error.ts'
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
}

/** A model that says what it was told to. */
export interface ScriptedModel extends Model {
  /** Everything it was asked, in order. A call that was aborted before it began is not in here. */
  readonly requests: readonly ModelRequest[]
  /** How often it was asked. */
  readonly calls: number
  /** Throws when answers of the script were never asked for, or more was asked than it has. A function has no end. */
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
  const model: Model = async (request, context) => {
    const { signal } = context
    if (signal.aborted) throw toAborted(request, signal)
    requests.push(request)
    try {
      return await play(playback, request, context, options)
    } catch (error) {
      throw signal.aborted ? toAborted(request, signal) : error
    }
  }
  const members = {
    requests,
    done: playback.done,
    get calls() {
      return requests.length
    },
  }
  // `defineProperties` returns the type it was given; the descriptors are those of the other members. Unlike `assign` it keeps the getter.
  return Object.defineProperties(model, Object.getOwnPropertyDescriptors(members)) as ScriptedModel
}

async function play(
  playback: Playback,
  request: ModelRequest,
  { signal, onText }: ModelCallContext,
  { delayMs = 0, chunkDelayMs = 0, sleep: wait = sleep }: ScriptedModelOptions,
): Promise<ModelAnswer> {
  const played = await orAborted(playback.next(request), signal)
  await pauseBefore(played, delayMs, wait, signal)
  if (played.error !== undefined) throw played.error
  const fault = played.text === '' && played.toolCalls.length === 0 ? (played.fault ?? 'empty') : played.fault
  for (const [index, delta] of toHeard({ ...played, fault }).entries()) {
    if (index > 0 && chunkDelayMs > 0) await orAborted(wait(chunkDelayMs, signal), signal)
    signal.throwIfAborted()
    onText(delta)
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

/** The pieces of text that come through before the fault. */
function toHeard({ fault, deltas }: PlayedAnswer): readonly string[] {
  if (fault === undefined || fault === 'no-finish' || fault === 'length') return deltas
  const isBroken = fault === 'cut' || fault === 'stall' || fault === 'malformed' || fault === 'stream-error'
  return isBroken ? deltas.slice(0, Math.ceil(deltas.length / 2)) : []
}

function toAborted(request: ModelRequest, signal: AbortSignal): PerdureError {
  const message = `The call of model "${request.model}" was aborted. Start the run again to ask once more.`
  return new PerdureError('ABORTED', message, { cause: signal.reason, details: { model: request.model } })
}
