import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { ModelSettings, ToolSchema } from '../actors/model.ts'
import { toStorable } from '../persistence/storable.ts'
import type { ChangedPart } from './events.ts'

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
})
export type Fingerprint = Readonly<Record<ChangedPart, string>>

/** JSON with sorted keys: equal data gives equal text, whatever order it was written in. */
function toCanonical(value: unknown): string {
  return JSON.stringify(value, (_key, item: unknown) => {
    if (typeof item === 'bigint') return `${item}n`
    if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
    if (ArrayBuffer.isView(item)) return [...new Uint8Array(item.buffer, item.byteOffset, item.byteLength)]
    return Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}

/** The first 96 bits of SHA-256, base64url: 16 characters. Errors: `VALUE_NOT_STORABLE`. */
export function toHash(value: unknown): string {
  return createHash('sha256')
    .update(toCanonical(toStorable(value)) ?? 'undefined')
    .digest('base64url')
    .slice(0, 16)
}

export function toFingerprint(turn: {
  readonly prompt: string
  readonly systemPrompt: string
  readonly model: string
  readonly tools: readonly ToolSchema[]
  readonly settings: ModelSettings
}): Fingerprint {
  const tools = turn.tools.map(({ name, description, parameters }) => ({ name, description, parameters }))
  return {
    prompt: toHash(turn.prompt),
    'system prompt': toHash(turn.systemPrompt),
    model: turn.model,
    tools: toHash(tools),
    settings: toHash(turn.settings),
  }
}

/** The parts in which two turns differ. */
export function compareFingerprints(recorded: Fingerprint, current: Fingerprint): readonly ChangedPart[] {
  return (Object.keys(current) as ChangedPart[]).filter((part) => recorded[part] !== current[part]) // keys of a Fingerprint
}
