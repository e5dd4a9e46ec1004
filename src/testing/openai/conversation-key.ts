import { createHash } from 'node:crypto'
import type { ModelRequest } from '../../actors/model.ts'
import type { Message } from '../../machines/conversation.ts'

/**
 * Names a conversation: SHA-256 in hex of the model, the system prompt and the messages. Two requests with the same key ask
 * for the same answer: the second one is paid for twice.
 *
 * What only one of the APIs carries, like whether a tool failed, is not part of it, nor are tools and settings.
 */
export function toConversationKey({ model, systemPrompt, messages }: ModelRequest): string {
  const conversation = JSON.stringify([model, systemPrompt, messages.map(toCanonical)])
  return createHash('sha256').update(conversation).digest('hex')
}

function toCanonical(message: Message): readonly unknown[] {
  if (message.role === 'user') return ['user', message.content]
  if (message.role === 'tool') return ['tool', message.callId, message.content]
  return ['assistant', message.content, message.toolCalls.map((call) => [call.id, call.name, call.arguments])]
}
