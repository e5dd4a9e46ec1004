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
 * | `r/<run>/k/<step>/<checksum>` | a step that the run itself has no more, and forks need |
 * | `r/<run>/e/<event>` | the id of an event from outside that was taken |
 * | `i/<run>/<number>` | inbox: a message of another run that was not taken yet |
 * | `q/<run>/<step>` | index: a step of the run that waits for a person |
 * | `w/<time>/<run>` | index: when the run is to be activated by itself; 0 is at once |
 * | `f/<time>/<run>` | index: when the run came to its end |
 * | `x/<run>` | the run is being deleted: what is left of it is to go |
 * | `p/<run>/<fork>/<seq>` | snapshot records of the run that the base `seq` of a fork needs |
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

/** Where the record of a step is kept for forks, with the bytes that it had. */
export const keptKey = (run: string, step: string, checksum: number): string =>
  `${prefix(run)}k/${escapeStep(step)}/${checksum.toString(16).padStart(8, '0')}`
export const keptRange = (run: string): { gte: string; lt: string } => rangeOf(`${prefix(run)}k/`)

/** The range of all keys that begin with `start`. Keys are ASCII. */
export function rangeOf(start: string): { gte: string; lt: string } {
  return { gte: start, lt: `${start}\u{10ffff}` }
}

/** The records of deltas; from one on, and up to another, where these are given. */
export function deltaRange(run: string, from?: number, to?: number): { gte: string; lt: string } {
  const { gte, lt } = rangeOf(`${prefix(run)}d/`)
  return { gte: from === undefined ? gte : deltaKey(run, from), lt: to === undefined ? lt : deltaKey(run, to + 1) }
}
/** The number of a delta's record; `undefined` for another key. */
export const toDeltaSeq = (key: string): number | undefined => {
  const digits = /^r\/[^/]+\/d\/(\d+)$/.exec(key)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
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

export const eventKey = (run: string, event: string): string => `${prefix(run)}e/${escapeStep(event)}`

/** `number` has the same length for all messages of a store. */
export const inboxKey = (run: string, number: string): string => `i/${encode(run)}/${number}`
/** The messages of one run, or of all. */
export const inboxRange = (run?: string): { gte: string; lt: string } => rangeOf(run === undefined ? 'i/' : `i/${encode(run)}/`)
export const toInbox = (key: string): { readonly run: string; readonly number: string } => {
  const [, run = '', number = ''] = key.split('/')
  return { run: decodeURIComponent(run), number }
}

export const questionKey = (run: string, step: string): string => `q/${encode(run)}/${escapeStep(step)}`
/** The questions of one run, or of all. */
export const questionRange = (run?: string): { gte: string; lt: string } =>
  rangeOf(run === undefined ? 'q/' : `q/${encode(run)}/`)
/** Errors: a `URIError` for what is no such key. */
export function toQuestion(key: string): { readonly run: string; readonly step: string } {
  const [, run = '', ...step] = key.split('/')
  return { run: decodeURIComponent(run), step: unescapeStep(step.join('/')) }
}

const TIME_DIGITS = 16
const timed = (index: string, time: number, run: string): string => `${index}/${toTime(time)}/${encode(run)}`
const fromTimed = (key: string): { readonly time: number; readonly run: string } => {
  const [, time = '', run = ''] = key.split('/')
  return { time: Number(time), run: decodeURIComponent(run) }
}
/** Whole milliseconds, so that the order of the texts is that of the times. */
const toTime = (time: number): string => String(Math.max(0, Math.ceil(time))).padStart(TIME_DIGITS, '0')
/** The entries up to `until`, included; without, all. */
const timedRange = (index: string, until?: number): { gte: string; lt: string } =>
  until === undefined ? rangeOf(`${index}/`) : { gte: `${index}/`, lt: `${index}/${toTime(Math.floor(until) + 1)}` }

export const wakeKey = (time: number, run: string): string => timed('w', time, run)
export const wakeRange = (until?: number): { gte: string; lt: string } => timedRange('w', until)
export const toWake = fromTimed
export const endedKey = (time: number, run: string): string => timed('f', time, run)
export const endedRange = (until?: number): { gte: string; lt: string } => timedRange('f', until)
export const toEnded = fromTimed

export const deletionKey = (run: string): string => `x/${encode(run)}`
export const deletionRange = (): { gte: string; lt: string } => rangeOf('x/')
export const toDeletion = (key: string): string => decodeURIComponent(key.slice('x/'.length))
export const pinKey = (run: string, fork: string, seq: number): string =>
  `p/${encode(run)}/${encode(fork)}/${String(seq).padStart(12, '0')}`
export const pinRange = (): { gte: string; lt: string } => rangeOf('p/')
export const toPin = (key: string): { readonly run: string; readonly fork: string; readonly seq: number } => {
  const [, run = '', fork = '', seq = ''] = key.split('/')
  return { run: decodeURIComponent(run), fork: decodeURIComponent(fork), seq: Number(seq) }
}
/** What is recorded of a run besides its head. */
export const recordRange = (run: string): { gte: string; lt: string } => rangeOf(prefix(run))
/** The heads of the runs whose id begins with `<run>/`. */
export const headsWithin = (run: string): { gte: string; lt: string } => rangeOf(`${headKey(run)}%2F`)
/** All records of all runs, without indexes. */
export const allRecords = (): { gte: string; lt: string } => rangeOf('r/')
