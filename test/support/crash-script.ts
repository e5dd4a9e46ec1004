import type { ModelRequest } from 'perdure'
import type { ScriptedAnswer } from 'perdure/testing'

/**
 * A model that decides by the conversation alone: in each turn it asks for five notes at once, then for two more, then
 * sums up what it was told. So the same conversation has the same answer whoever asks, and however often.
 */
export function crashScript({ messages }: ModelRequest): ScriptedAnswer {
  const turns = messages.filter(({ role }) => role === 'user').length
  const sinceUser = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1)
  const results = sinceUser.filter((message) => message.role === 'tool')
  const note = (index: number) => ({ name: 'note', arguments: { text: `turn ${turns} note ${index}` } })
  if (results.length === 0) return { toolCalls: [1, 2, 3, 4, 5].map(note) }
  if (results.length === 5) return { toolCalls: [6, 7].map(note) }
  return { text: `Turn ${turns}: ${results.map(({ content }) => content).join('; ')}` }
}
