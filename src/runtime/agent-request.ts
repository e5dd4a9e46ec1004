import type { z } from 'zod'
import type { ModelRequest, ToolSchema } from '../actors/model.ts'
import { toOutputFormat } from '../actors/output-format.ts'
import type { ParsedProfile } from '../actors/profile.ts'
import type { Tool } from '../actors/tool.ts'
import type { OutputFormat, TurnLimits } from '../machines/agent.ts'

/** What a profile makes of a turn. */

/** How the turns of an agent are limited. */
export const toTurnLimits = ({ maxSteps, maxParallel, limits, runLimits, onLimit }: ParsedProfile): TurnLimits => ({
  maxSteps,
  maxParallel,
  limits,
  runLimits,
  onLimit,
})

/** The form of a turn's answer as the machine and the model are told; nothing when it is any text. */
export function toFormat({ maxRepairs }: ParsedProfile, output: z.ZodType | undefined): { readonly output?: OutputFormat } {
  return output === undefined ? {} : { output: toOutputFormat(output, maxRepairs) }
}

/** Everything of a model request but the conversation. */
export function toRequest(
  profile: ParsedProfile,
  tools: readonly Tool[],
  output = profile.output,
): Omit<ModelRequest, 'messages'> {
  const { model, systemPrompt, settings = {} } = profile
  const schemas: ToolSchema[] = tools.map(({ name, description, parameters }) => ({ name, description, parameters }))
  const { output: format } = toFormat(profile, output)
  const form = format === undefined ? {} : { output: { name: format.name, schema: format.schema } }
  return { model, systemPrompt, settings, tools: schemas, ...form }
}

export function assertPrompt(prompt: unknown): asserts prompt is string {
  if (typeof prompt !== 'string' || prompt === '')
    throw new TypeError(`Expected \`prompt\` to be a non-empty string, got \`${String(prompt)}\` (${typeof prompt})`)
}
