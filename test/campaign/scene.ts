import { type ModelRequest, type Tool, tool } from 'perdure'
import type { Outside } from 'perdure/testing'
import { z } from 'zod'

/** What the subjects with agents have in common. */

export const line = z.object({ text: z.string() })

/** Writes a note down, outside: the same key once. */
export const noteTool = (outside: Outside, name = 'note'): Tool =>
  tool({
    name,
    description: 'Writes a note down.',
    input: line,
    effect: 'idempotent',
    async run({ text }, { key }) {
      await outside.effect(`${name} ${text}`, key)
      return `noted ${text}`
    },
  })

export const call = (name: string, text: string) => ({ name, arguments: { text } })

/** What came after the newest prompt: results of tools, in the order of the calls. */
export function toResults({ messages }: ModelRequest): string[] {
  const since = messages.slice(messages.findLastIndex(({ role }) => role === 'user') + 1)
  return since.flatMap(({ role, content }) => (role === 'tool' ? [content] : []))
}

export const lastPrompt = ({ messages }: ModelRequest): string => messages.findLast(({ role }) => role === 'user')?.content ?? ''

/** Asks for these calls one after the other, a request for each round, then says what came of all. */
export const inRounds =
  (...rounds: readonly (readonly ReturnType<typeof call>[])[]) =>
  (request: ModelRequest) => {
    const results = toResults(request)
    let asked = 0
    for (const toolCalls of rounds) {
      if (results.length === asked) return { toolCalls }
      asked += toolCalls.length
    }
    return results.join(', ')
  }
