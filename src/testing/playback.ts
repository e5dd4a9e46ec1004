import type { ModelRequest } from '../actors/model.ts'
import { PerdureError, toMessage } from '../errors.ts'
import type { ToolCall, Usage } from '../machines/conversation.ts'
import type { Fault, Script, ScriptedAnswer, ScriptedCall } from './script.ts'
import { estimateUsage } from './usage-estimate.ts'

/** A {@link ScriptedAnswer} with everything decided. */
export interface PlayedAnswer {
  readonly text: string
  readonly deltas: readonly string[]
  readonly toolCalls: readonly ToolCall[]
  readonly usage: Usage
  readonly costUsd: number | undefined
  readonly error: Error | undefined
  readonly fault: Fault | undefined
  readonly delayMs: number
  readonly until: Promise<unknown> | undefined
}

/** A script on its way. */
export interface Playback {
  /** The next answer. Rejects with `MODEL_BAD_REQUEST` beyond the end of the script, and with what the script's function threw. */
  readonly next: (request: ModelRequest) => Promise<PlayedAnswer>
  /** Throws when answers are left over, when more was asked than the script has, or something else than an answer expects. */
  readonly done: () => void
}

/** Starts a script at its beginning. */
export function toPlayback(script: Script): Playback {
  let calls = 0
  let unexpected: PerdureError | undefined
  return {
    next: async (request) => {
      const call = ++calls
      const scripted = typeof script === 'function' ? await script(request, call) : script[call - 1]
      if (scripted === undefined) throw beyondScript(script, call)
      if (typeof scripted === 'string') return toPlayed({ text: scripted }, request)
      try {
        await scripted.expect?.(request, call)
      } catch (cause) {
        const error = notExpected(call, cause)
        unexpected ??= error
        throw error
      }
      return toPlayed(scripted, request)
    },
    done: () => {
      if (unexpected !== undefined) throw unexpected
      if (typeof script === 'function' || calls === script.length) return
      const next =
        calls < script.length
          ? `${script.length - calls} were never asked for, from answer ${calls + 1} on`
          : `${calls} were asked for`
      throw new Error(`The script has ${count(script.length, 'answer')}; ${next}.`)
    },
  }
}

function beyondScript(script: Script, call: number): PerdureError {
  const message =
    typeof script === 'function'
      ? `The script's function returned nothing for call ${call}. Let it return an answer for this conversation.`
      : `The script has ${count(script.length, 'answer')} and this is call ${call}. Add an answer, or find out who asks once too often.`
  return new PerdureError('MODEL_BAD_REQUEST', message, { details: { call } })
}

function notExpected(call: number, cause: unknown): PerdureError {
  return new PerdureError(
    'MODEL_BAD_REQUEST',
    `Call ${call} of the script asks for something else than its answer expects: ${toMessage(cause)}`,
    {
      cause,
      details: { call },
    },
  )
}

function toPlayed(answer: ScriptedAnswer, request: ModelRequest): PlayedAnswer {
  const silence = answer.fault === 'refusal' ? "I'm sorry, but I can't help with that." : ''
  const text = answer.text ?? answer.deltas?.join('') ?? silence
  if (answer.deltas !== undefined && answer.deltas.join('') !== text) {
    throw new TypeError(`Expected \`deltas\` to join to the text ${JSON.stringify(text)}, got ${JSON.stringify(answer.deltas)}`)
  }
  const toolCalls = (answer.toolCalls ?? []).map((call, index) => toCall(call, request.messages.length, index))
  return {
    text,
    deltas: answer.deltas ?? text.match(/\s*\S+|\s+$/g) ?? [],
    toolCalls,
    usage: { ...estimateUsage(request, text, toolCalls), ...answer.usage },
    costUsd: answer.costUsd,
    error: answer.error,
    fault: answer.fault,
    delayMs: answer.delayMs ?? 0,
    until: answer.until,
  }
}

function toCall(call: ScriptedCall, messages: number, index: number): ToolCall {
  const text = typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments ?? {})
  return { id: call.id ?? `call_${messages}_${index}`, name: call.name, arguments: text }
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
