import { z } from 'zod'
import { PerdureError } from '../errors.ts'
import type { Limits } from '../machines/limits.ts'
import { toIssueLines, toIssues } from './issues.ts'
import type { ModelSettings } from './model.ts'
import { DEFAULT_MAX_REPAIRS } from './output-format.ts'
import { toolNamePattern } from './tool.ts'
import { toValueText } from './value-text.ts'

/** Model requests that one turn may make when the profile does not say. */
const defaultMaxSteps = 50

/** Tool calls at once when the profile does not say. */
const defaultMaxParallel = 16

const profileNamePattern = /^[A-Za-z0-9._-]{1,64}$/

const Settings = z.strictObject({
  temperature: z.number().min(0).max(2).optional(),
  topP: z.number().min(0).max(1).optional(),
  maxOutputTokens: z.int().min(1).optional(),
  reasoningEffort: z.enum(['none', 'minimal', 'low', 'medium', 'high', 'xhigh']).optional(),
  parallelToolCalls: z.boolean().optional(),
}) satisfies z.ZodType<ModelSettings>

const amount = z.number().positive('Expected a number > 0').optional()
const count = z.int('Expected an integer ≥ 1').min(1, 'Expected an integer ≥ 1').optional()

const LimitsShape = z.strictObject({
  steps: count,
  tokens: count,
  costUsd: amount,
  wallTimeMs: count,
}) satisfies z.ZodType<Limits>

/**
 * Who an agent is: the schema of a profile, and the type of one as it is written down.
 *
 * - `name` names the agent's checkpoints: 1 to 64 letters, digits, `.`, `_` or `-`.
 * - `systemPrompt` is given to the model before every conversation; it may be empty.
 * - `model` is the model's name as the provider knows it.
 * - `allowedTools` are the names of the tools the agent may use, each once. Default: none.
 * - `settings` say how the model should answer. Default: the provider's defaults.
 * - `maxSteps` is how many model requests one turn may make, from 1. Default: 50.
 * - `maxParallel` is how many tool calls of one answer are executed at once, from 1. Default: 16.
 * - `limits` is what one turn may use: model requests (`steps`), `tokens`, dollars (`costUsd`), time (`wallTimeMs`). Checked before each
 *   model request and while an answer streams. Default: no limit.
 * - `runLimits` is the same for all turns of a conversation, over restarts.
 * - `onLimit` is what happens there: `fail` (default) ends the turn with `LIMIT_REACHED`, `ask` waits until a person has extended the limit.
 * - `output` is a zod schema: the answer has to be JSON that fits, and is returned parsed. Default: any text.
 * - `maxRepairs` is how often an answer that does not fit `output`, or the schema of its turn, is sent back to the model with what is wrong, from 0.
 *   Each time is a model request. Default: 2.
 *
 * Any other key is refused. Use {@link parseProfile} for errors that say all that is wrong.
 */
export const Profile = z.strictObject({
  name: z.string().regex(profileNamePattern, 'Expected 1 to 64 letters, digits, `.`, `_` or `-`'),
  systemPrompt: z.string(),
  model: z.string().regex(/\S/, 'Expected the name of a model'),
  allowedTools: z
    .array(z.string().regex(toolNamePattern, 'Expected the name of a tool: 1 to 64 letters, digits, `_` or `-`'))
    .superRefine((names, context) => {
      for (const [index, name] of names.entries()) {
        if (names.indexOf(name) === index) continue
        context.addIssue({ code: 'custom', path: [index], message: `Expected each tool once, got \`${name}\` again` })
      }
    })
    .readonly()
    .default([]),
  settings: Settings.optional(),
  maxSteps: z.int('Expected an integer ≥ 1').min(1, 'Expected an integer ≥ 1').default(defaultMaxSteps),
  maxParallel: z.int('Expected an integer ≥ 1').min(1, 'Expected an integer ≥ 1').default(defaultMaxParallel),
  limits: LimitsShape.optional(),
  runLimits: LimitsShape.optional(),
  onLimit: z.enum(['fail', 'ask']).default('fail'),
  output: z.instanceof(z.ZodType, { error: 'Expected a zod schema' }).optional(),
  maxRepairs: z.int('Expected an integer ≥ 0').min(0, 'Expected an integer ≥ 0').default(DEFAULT_MAX_REPAIRS),
})

/** What a fork may change of a profile. */
export const ProfileChange = Profile.pick({ systemPrompt: true, model: true, settings: true }).partial()
export type ProfileChange = Readonly<z.output<typeof ProfileChange>>

/** A profile as it is written down: see the schema of the same name. `Output` is the type of its `output`: without one, answers are text. */
export type Profile<Output extends z.ZodType | undefined = undefined> = Omit<z.input<typeof Profile>, 'output'> & {
  readonly output?: Output | undefined
}

/** A profile that was checked, with its defaults filled in. */
export type ParsedProfile = Readonly<z.output<typeof Profile>>

/** Errors: a `TypeError` that says all that is wrong. */
export function assertLimits(value: unknown): asserts value is Limits | undefined {
  const result = LimitsShape.optional().safeParse(value)
  if (result.success) return
  const lines = toIssueLines(toIssues(result.error, value, Object.keys(LimitsShape.shape)))
  throw new TypeError(`Expected \`limits\` to be limits such as \`{ tokens: 50_000 }\`: ${lines.join('; ')}`)
}

/**
 * Checks a profile and fills in its defaults. The result is a copy.
 *
 * @throws PerdureError `PROFILE_INVALID`; the message lists every issue with its path and what was got, `details.issues` holds
 * them as data.
 *
 * @example
 * ```ts
 * parseProfile({ name: 'default', systemPrompt: 'You are helpful.', model: 'gpt-5.1', allowedTools: ['exec'] })
 * ```
 */
export function parseProfile(value: unknown): ParsedProfile {
  const result = Profile.safeParse(value)
  if (result.success) return result.data
  const issues = toIssues(result.error, value, Object.keys(Profile.shape))
  const lines = toIssueLines(issues)
  const list = lines.length === 1 ? ` ${lines[0]}` : lines.map((line) => `\n- ${line}`).join('')
  throw new PerdureError('PROFILE_INVALID', `${toTitle(value)} is invalid:${list}`, { details: { issues } })
}

function toTitle(value: unknown): string {
  const name = typeof value === 'object' && value !== null && 'name' in value ? value.name : undefined
  return typeof name === 'string' && name !== '' ? `Profile ${toValueText(name).replace(/ \(string\)$/, '')}` : 'The profile'
}
