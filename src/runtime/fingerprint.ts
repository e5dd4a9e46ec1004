import { createHash, createHmac } from 'node:crypto'
import { z } from 'zod'
import type { ModelRequest, ModelSettings, ToolSchema } from '../actors/model.ts'
import { parseOutput } from '../actors/output-text.ts'
import { toStorable } from '../persistence/storable.ts'
import type { ChangedPart } from './events.ts'
import type { RecordedTurn } from './turn-record.ts'

/**
 * What a turn was asked, as hashes by part: enough to tell that, and which, part changed. `maxSteps` is left out on purpose: a
 * higher limit does not make a finished turn another one.
 */
export const Fingerprint = z.strictObject({
  prompt: z.string(),
  'system prompt': z.string(),
  model: z.string(),
  tools: z.string(),
  settings: z.string(),
  /** The form of the answer, as JSON Schema; a turn whose answer is any text has none. */
  output: z.string().optional(),
})
export type Fingerprint = Readonly<z.output<typeof Fingerprint>>

/**
 * A text for what `toStorable` made: equal data gives equal text, in whatever order its keys were written, and other data another.
 * For plain JSON it is the JSON with sorted keys. A property that is `undefined` is as good as none.
 */
function toCanonical(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value !== 'object' || value === null) return String(value)
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (value instanceof Uint8Array) return `Bytes(${Buffer.from(value).toString('base64')})`
  if (Array.isArray(value)) return `[${value.map(toCanonical).join()}]`
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  const sorted = entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${sorted.map(([key, item]) => `${JSON.stringify(key)}:${toCanonical(item)}`).join()}}`
}

/**
 * The first 96 bits of SHA-256, base64url: 16 characters; with a key, of HMAC-SHA-256: what stands in a key of an encrypted store must not be guessed by trying. Errors:
 * `VALUE_NOT_STORABLE`.
 */
export function toHash(value: unknown, hashKey?: Uint8Array): string {
  const hash = hashKey === undefined ? createHash('sha256') : createHmac('sha256', hashKey)
  return hash
    .update(toCanonical(toStorable(value)))
    .digest('base64url')
    .slice(0, 16)
}

export function toFingerprint(turn: {
  readonly prompt: string
  readonly systemPrompt: string
  readonly model: string
  readonly tools: readonly ToolSchema[]
  readonly settings: ModelSettings
  readonly output?: ModelRequest['output']
}): Fingerprint {
  const tools = turn.tools.map(({ name, description, parameters }) => ({ name, description, parameters }))
  return {
    prompt: toHash(turn.prompt),
    'system prompt': toHash(turn.systemPrompt),
    model: turn.model,
    tools: toHash(tools),
    settings: toHash(turn.settings),
    ...(turn.output === undefined ? {} : { output: toHash(turn.output.schema) }),
  }
}

/** The parts in which two turns differ. */
export function compareFingerprints(recorded: Fingerprint, current: Fingerprint): readonly ChangedPart[] {
  return Fingerprint.keyof().options.filter((part) => recorded[part] !== current[part])
}

/** The parts in which a turn differs from what is asked: also a recorded answer that does not fit any more differs. Errors: `OUTPUT_INVALID`. */
export async function findChanges(
  recorded: RecordedTurn,
  fingerprint: Fingerprint,
  output: z.ZodType | undefined,
): Promise<readonly ChangedPart[]> {
  const changed = compareFingerprints(recorded.fingerprint, fingerprint)
  if (changed.length > 0 || output === undefined || recorded.status !== 'ok') return changed
  return (await parseOutput(output, recorded.output)).ok ? [] : ['output']
}
