import type { ApprovedCall } from '../machines/agent.ts'
import type { ToolMessage } from '../machines/conversation.ts'
import { markThrown, type ToolResult, wasThrown } from './tool-result.ts'

/** What the model reads of a result. Of arguments that a person changed it is told. */
export function toToolMessage(call: ApprovedCall, result: ToolResult): ToolMessage {
  const { content, isError, spent } = result
  const text = call.isEdited === true ? `(A person changed the arguments to ${call.arguments}.)\n${content}` : content
  const message: ToolMessage = {
    role: 'tool',
    callId: call.id,
    name: call.name,
    content: text,
    isError,
    ...(spent === undefined ? {} : { spent }),
  }
  return wasThrown(result) ? markThrown(message) : message
}

/** What a person says that a call came to: a text, or anything as JSON; or what it failed with. */
export function toHandMessage(
  call: ApprovedCall,
  outcome: { readonly result: unknown } | { readonly error: string },
): ToolMessage {
  if ('error' in outcome) return toToolMessage(call, { content: `Tool \`${call.name}\` failed: ${outcome.error}`, isError: true })
  const { result } = outcome
  const content = typeof result === 'string' ? result : (JSON.stringify(result) ?? 'done')
  return toToolMessage(call, { content, isError: false })
}

/** A call as the record of its step has it. */
export const toCallData = ({ id, arguments: text, isEdited }: ApprovedCall): object => ({
  callId: id,
  arguments: text,
  ...(isEdited === true ? { isEdited } : {}),
})

/** The call of a step's record. */
export function fromCallData(name: string, data: unknown): ApprovedCall {
  const {
    callId = '',
    arguments: text = '',
    isEdited = false,
  } = { ...(data as object | undefined) } as Readonly<Record<string, unknown>>
  return { id: String(callId), name, arguments: String(text), isEdited: isEdited === true }
}
