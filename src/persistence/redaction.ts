import { isPerdureError, PerdureError } from '../errors.ts'
import type { Path } from './storable.ts'

/** Where a text stands that is about to be written. */
export interface TextPlace {
  readonly runId: string
  /** The keys that lead to it: in a step `value`, `error`, `data` or `noted` come first, in a snapshot `actor`, in a message `event`, in the log the field of the event. */
  readonly path: Path
}

/**
 * What is written instead of a text. Synchronous; the same text at the same place always comes to the same, and what it gives back comes to itself: a run that goes on
 * after a restart hands it what it had written.
 */
export type Redact = (text: string, place: TextPlace) => string

/** The same for one run. Errors: `REDACTION_FAILED`. */
export type RedactText = (text: string, path: Path) => string

/** What a run's records are written through; `undefined`: as they are. `isOurs`: texts that Perdure put there and reads again, which are left alone. */
export function toRedactText(
  redact: Redact | undefined,
  runId: string,
  isOurs: (path: Path) => boolean = () => false,
): RedactText | undefined {
  if (redact === undefined) return undefined
  const call = (text: string, path: Path): string => {
    const written: unknown = redact(text, { runId, path: [...path] })
    if (typeof written !== 'string') throw new TypeError(`Expected \`redact\` to return a string, got ${typeof written}`)
    return written
  }
  return (text, path) => {
    if (isOurs(path)) return text
    try {
      const written = call(text, path)
      if (written !== text && call(written, path) !== written)
        throw new TypeError('Expected `redact` to leave alone what it returned, got another text for it')
      return written
    } catch (error) {
      throw toRedactionFailed(error, runId, path)
    }
  }
}

/** The message says nothing of the text: it may be recorded in its place. */
function toRedactionFailed(error: unknown, runId: string, path: Path): PerdureError {
  if (isPerdureError(error, 'REDACTION_FAILED')) return error
  const what = error instanceof TypeError && error.message.startsWith('Expected `redact`') ? error.message : 'It threw'
  return new PerdureError(
    'REDACTION_FAILED',
    `The option \`redact\` failed for the text at \`${path.join('.')}\` of run \`${runId}\`: ${what}. Nothing of it was written.`,
    { cause: error, details: { run: runId, path: [...path] } },
  )
}

type Pattern = readonly (string | RegExp)[]

const ANY = /^/
const NUMBER = /^\d+$/
const message = (...place: Pattern): readonly Pattern[] => [
  [...place, 'role'],
  [...place, 'callId'],
  [...place, 'toolCalls', NUMBER, 'id'],
]

/** In the record of a step; the parts of the kinds whose shape is ours. */
const inStep: Readonly<Record<string, readonly Pattern[]>> = {
  model: [['value', 'responseId'], ['value', 'model'], ...message('value', 'message')],
  tool: [['data', 'callId'], ...message('value')],
  taken: [
    ['value', /^(key|type|state|source|target|input)$/],
    ['value', 'event', 'type'],
  ],
  turn: [
    ['data', 'fingerprint', ANY],
    ['data', 'id'],
  ],
}
const inAnyStep: readonly Pattern[] = [
  ['error', 'name'],
  ['error', 'code'],
]
/** In the snapshot of an actor, wherever in the tree it is. */
const inActor: readonly Pattern[] = [
  ['status'],
  ['value'],
  ['historyValue'],
  ['stepKey'],
  ['children', ANY, /^(src|systemId|sessionId)$/],
  ['error', /^(name|code)$/],
  ['input', 'key'],
  ['input', 'call', 'id'],
  ['context', 'turnKey'],
  ['context', 'calls', ANY],
  ...message('context', 'messages', NUMBER),
]
const inTimer: readonly Pattern[] = [['id'], ['source'], ['target'], ['event', 'type']]
const inHead: readonly Pattern[] = [
  ['version'],
  ['inputHash'],
  ['missing'],
  ['owner'],
  ['parent'],
  ['fork', 'run'],
  ['error', /^(name|code)$/],
]

const matches = (pattern: Pattern, path: Path): boolean =>
  path.length >= pattern.length &&
  pattern.every((part, index) => (typeof part === 'string' ? part === path[index] : part.test(String(path[index]))))
const isOneOf = (patterns: readonly Pattern[], path: Path): boolean => patterns.some((pattern) => matches(pattern, path))

/** Of a step of that kind. Its frame is never asked for. */
export const isOursInStep = (kind: string) => {
  const patterns = [...inAnyStep, ...(inStep[kind] ?? [])]
  return (path: Path): boolean => isOneOf(patterns, path)
}

export function isOursInSnapshot(path: Path): boolean {
  if (path[0] === 'timers') return isOneOf(inTimer, path.slice(2))
  if (path[0] !== 'actor') return false
  let at = 1
  while (path[at] === 'children' && path[at + 2] === 'snapshot') at += 3
  return isOneOf(inActor, path.slice(at))
}

export const isOursInHead = (path: Path): boolean => isOneOf(inHead, path.slice(1))

export const isOursInMessage = (path: Path): boolean => path.length === 2 && path[1] === 'type'
