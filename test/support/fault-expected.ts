import type { ModelRequest } from 'perdure'
import type { ScriptedAnswer } from 'perdure/testing'

export const counterIds = ['counter a', 'counter b', 'counter c'] as const

/** What the model of the fault tests says: it asks for the tool that the prompt names, then tells what came of it. */
export function answerOf({ messages }: Pick<ModelRequest, 'messages'>): ScriptedAnswer {
  const last = messages.at(-1)
  if (last?.role === 'tool') return { text: `So it is: ${last.content}.` }
  const [name = '', text = ''] = (last?.role === 'user' ? last.content : '').split(' ')
  return { toolCalls: [{ name, arguments: { text } }] }
}

/** What the flow of `fault-app.ts` returns when nothing happens to it. */
export const toReport = (rounds: number): unknown[] => [
  ...Array.from({ length: rounds }, (_, round) => [round, `So it is: noted ${round}.`]).flat(),
  'So it is: payd all.',
  'yes',
]
