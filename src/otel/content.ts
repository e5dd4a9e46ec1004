/** Prompts, answers, arguments and results as the conventions write them: JSON of messages that have parts. */
import type { Attributes, Span } from '@opentelemetry/api'
import type { Content } from '../runtime/content-channel.ts'

/** What a `Content` of a model call or a tool call holds. */
interface ToolCallPart {
  readonly id: string
  readonly name: string
  readonly arguments: string
}
interface MessageShape {
  readonly role: string
  readonly content: string
  readonly toolCalls?: readonly ToolCallPart[]
  readonly callId?: string
}
interface RequestShape {
  readonly systemPrompt: string
  readonly messages: readonly MessageShape[]
}

/** Puts on a span what its call or turn was asked, or what it came to. */
export function putContent(span: Span, kind: 'model' | 'tool' | 'turn', { asked, answered }: Content): void {
  if (asked !== undefined) span.setAttributes(toAsked(kind, asked))
  else if (answered instanceof Error) span.recordException(answered)
  else if (answered !== undefined) span.setAttributes(toAnswered(kind, answered))
}

function toAsked(kind: 'model' | 'tool' | 'turn', asked: unknown): Attributes {
  if (kind === 'tool') return { 'gen_ai.tool.call.arguments': String(asked) }
  if (kind === 'turn') return { 'gen_ai.input.messages': JSON.stringify([{ role: 'user', parts: [toText(String(asked))] }]) }
  const { systemPrompt, messages } = asked as RequestShape // a `ModelRequest`: `fromModel` makes it
  return {
    'gen_ai.system_instructions': JSON.stringify([toText(systemPrompt)]),
    'gen_ai.input.messages': JSON.stringify(messages.map(toMessage)),
  }
}

function toAnswered(kind: 'model' | 'tool' | 'turn', answered: unknown): Attributes {
  if (kind === 'tool') return { 'gen_ai.tool.call.result': (answered as { readonly content: string }).content } // a `ToolMessage`
  if (kind === 'turn') {
    const { output } = answered as { readonly output: string } // what a turn's record has
    return toOutput({ role: 'assistant', content: output })
  }
  return toOutput((answered as { readonly message: MessageShape }).message) // a `ModelAnswer`
}

function toOutput(message: MessageShape): Attributes {
  const finish_reason = (message.toolCalls ?? []).length > 0 ? 'tool_call' : 'stop'
  return { 'gen_ai.output.messages': JSON.stringify([{ ...toMessage(message), finish_reason }]) }
}

const toText = (content: string): object => ({ type: 'text', content })

function toMessage({ role, content, toolCalls = [], callId }: MessageShape): object {
  if (role === 'tool') return { role, parts: [{ type: 'tool_call_response', id: callId, response: content }] }
  const calls = toolCalls.map(({ id, name, arguments: text }) => ({ type: 'tool_call', id, name, arguments: text }))
  return { role, parts: [...(content === '' ? [] : [toText(content)]), ...calls] }
}
