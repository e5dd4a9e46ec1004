import { PerdureError } from '../errors.ts'

/**
 * Where records are in the store. Run ids and step names are encoded, so no name can reach into another's records, and any string
 * has a key of its own.
 *
 * | key | record |
 * | --- | --- |
 * | `h/<run>` | head: what the run is and where its chain of records ends |
 * | `r/<run>/b` | snapshot, base |
 * | `r/<run>/d/<seq>` | snapshot, delta |
 * | `r/<run>/s/<step>` | journal: one step |
 */
export function headKey(run: string): string {
  return `h/${encode(run)}`
}

/** The run that {@link headKey} was given. */
export function toRunId(key: string): string {
  try {
    return decodeURIComponent(key.slice('h/'.length))
  } catch {
    return key // not written by `headKey`: named as it is
  }
}

const prefix = (run: string): string => `r/${encode(run)}/`

export const baseKey = (run: string): string => `${prefix(run)}b`
export const deltaKey = (run: string, seq: number): string => `${prefix(run)}d/${String(seq).padStart(12, '0')}`
export const stepKey = (run: string, step: string): string => `${prefix(run)}s/${escapeStep(step)}`
/** The step that {@link stepKey} was given for `run`. */
export const toStep = (run: string, key: string): string => unescapeStep(key.slice(stepKey(run, '').length))

/** The range of all keys that begin with `start`. Keys are ASCII. */
export function rangeOf(start: string): { gte: string; lt: string } {
  return { gte: start, lt: `${start}\u{10ffff}` }
}

export const deltaRange = (run: string): { gte: string; lt: string } => rangeOf(`${prefix(run)}d/`)
export const stepRange = (run: string, start = ''): { gte: string; lt: string } => rangeOf(stepKey(run, start))

const MAX_LENGTH = 500

/** Checks a run's id. Errors: `RUN_ID_INVALID`. */
export function assertRunId(id: unknown): asserts id is string {
  const valid = typeof id === 'string' && id.length > 0 && id.length <= MAX_LENGTH && id.isWellFormed() && !/\p{Cc}/u.test(id)
  if (!valid)
    throw new PerdureError(
      'RUN_ID_INVALID',
      `Expected a run id to be a string of 1 to ${MAX_LENGTH} characters without control characters, got ${typeof id === 'string' ? `\`${id.slice(0, 60)}\`` : typeof id}.`,
    )
}

function encode(run: string): string {
  assertRunId(run)
  return encodeURIComponent(run)
}

// Unit by unit: what begins with a string begins with its escape, and half of a surrogate pair has one too.
const escapeStep = (step: string): string =>
  step.replace(/[^!-$&-~]/g, (unit) => `%${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
const unescapeStep = (escaped: string): string =>
  escaped.replace(/%([0-9a-f]{4})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)))
