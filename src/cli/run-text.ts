import type { CallNode, ErrorText, RunSummary } from '../management/management.ts'
import { toDuration } from '../observe/quantity.ts'
import { toFirstLine, toSafeText } from '../observe/safe-text.ts'
import { toCostText } from '../observe/spend-text.ts'
import type { Tone } from '../observe/theme.ts'
import type { Spend } from '../runtime/spend.ts'

/** How a run is told in a few words. */

/** What a person calls its status: one that waits for somebody or something is not at work. */
export const toStatusText = ({ status, waitsFor }: Pick<RunSummary, 'status' | 'waitsFor'>): string =>
  status === 'running' && waitsFor !== undefined ? 'waiting' : status

const RUN_TONES: Readonly<Record<string, Tone>> = {
  running: 'begin',
  waiting: 'repeat',
  completed: 'complete',
  failed: 'fail',
  unreadable: 'fail',
  cancelled: 'cut',
  incompatible: 'repeat',
}
export const toRunTone = (status: string): Tone => RUN_TONES[status] ?? 'note'

const STEP_TONES: Readonly<Record<CallNode['status'], Tone>> = {
  running: 'start',
  retrying: 'repeat',
  waiting: 'repeat',
  inDoubt: 'cut',
  ok: 'finish',
  error: 'fail',
}
export const toStepTone = (status: CallNode['status']): Tone => STEP_TONES[status]

/** The state of a machine as one would write it: `open`, `ready.idle`, `{"a":"x","b":"y"}`. */
export function toStateText(state: unknown): string {
  if (state === undefined) return ''
  if (typeof state === 'string') return toSafeText(state)
  const entries = typeof state === 'object' && state !== null ? Object.entries(state) : []
  const [only] = entries
  if (entries.length === 1 && only !== undefined) return `${toSafeText(only[0])}.${toStateText(only[1])}`
  return toSafeText(JSON.stringify(state))
}

export const toAgeText = (since: number, now: number): string => toDuration(now - since)
export const toErrorLine = ({ code, message }: ErrorText): string =>
  toSafeText(code === undefined ? toFirstLine(message) : `${code}: ${toFirstLine(message)}`)
export const toCost = (spend: Spend): string => toCostText(spend) ?? ''
