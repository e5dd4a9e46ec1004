import { z } from 'zod'
import { toIssueLines, toIssues } from './issues.ts'
import { type Tool, tool } from './tool.ts'
import { readArguments } from './tool-arguments.ts'
import { toResult } from './tool-result.ts'

/** How {@link askHumanTool} asks. */
export interface AskHumanOptions {
  /** What an answer has to be. One that does not fit is refused, and the question stays open. Default: a text that is not empty. */
  readonly answer?: z.ZodType | undefined
}

const name = 'askHuman'
const maxResultBytes = 256 * 1024

/**
 * The built-in tool `askHuman`: the model asks a person, and the run waits for the answer for as long as it takes, over restarts.
 * `runtime.pending()` lists the question, `run.answer` answers it.
 */
export function askHumanTool(options: AskHumanOptions = {}): Tool {
  const { answer = z.string().min(1) } = options
  const input = z.strictObject({ question: z.string().min(1).describe('The question, with all that is needed to answer it.') })
  const base = tool({
    name,
    description: 'Asks a person and returns the answer. It can take long: ask only what you cannot find out yourself.',
    input,
    effect: 'none',
    run: () => undefined,
  })
  const schema = JSON.parse(JSON.stringify(z.toJSONSchema(answer, { io: 'input' }))) as Readonly<Record<string, unknown>> // an object, by its contract
  return {
    ...base,
    toQuestion(argumentsText) {
      const parsed = readArguments(input, argumentsText)
      if (typeof parsed === 'string') return undefined // `execute` tells the model what is wrong
      return {
        kind: 'question',
        text: parsed.input.question,
        schema,
        async parse(value) {
          const result = await answer.safeParseAsync(value)
          if (!result.success) return { ok: false, message: toIssueLines(toIssues(result.error, value)).join('\n') }
          return { ok: true, value: toResult(name, result.data, maxResultBytes) }
        },
      }
    },
  }
}
