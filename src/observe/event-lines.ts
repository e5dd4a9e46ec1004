import type { ChangedPart, RuntimeEvent } from '../runtime/events.ts'
import { type ErrorSummary, isInterruption, toErrorLabel, toErrorSummary, toErrorText } from './error-summary.ts'
import { isOfMachine } from './ledger-calls.ts'
import type { LedgerRun } from './ledger-run.ts'
import { type LedgerState, toOwnerId } from './ledger-state.ts'
import type { LogLine } from './log-line.ts'
import { isMachineEvent, toMachineLine } from './machine-lines.ts'
import { toDuration } from './quantity.ts'
import { MAX_LABEL, toChildLabel, toRunLabel } from './run-label.ts'
import { toSafeText } from './safe-text.ts'
import { toCallParts, toList, toReceiptLines, toSavedText, toSpendParts } from './spend-text.ts'
import { cutText, keepTogether } from './text-width.ts'

type EventOf<T extends RuntimeEvent['type']> = Extract<RuntimeEvent, { readonly type: T }>

const MAX_ERROR = 300
const MAX_QUESTION = 120

/** What was done about a call in doubt that was not made again. */
const RESOLVED = {
  recovered: { verb: 'recovers', how: 'its outcome was found out' },
  reported: { verb: 'reports', how: 'its outcome is not known and was reported so' },
  answered: { verb: 'goes on', how: 'a person said what it came to' },
} as const

const line = (tone: LogLine['tone'], level: LogLine['level'], name: string, verb: string, detail = ''): LogLine => ({
  tone,
  level,
  name,
  verb,
  detail,
})

const toShortError = (error: ErrorSummary): string => cutText(toErrorText(error), MAX_ERROR)

/** `the prompt`, `the prompt and the tools`, `the prompt, the model and the tools`. */
function toPartsText(parts: readonly ChangedPart[]): string {
  const named = parts.map((part) => `the ${part}`)
  const last = named.pop() ?? ''
  return named.length === 0 ? last : `${named.join(', ')} and ${last}`
}

/** Of a step of a machine the id of the run is told: the name of the machine may not be known. */
const NO_PLACE = { level: 0, name: '' } as const

/** Which run a checkpoint is of, where that is not plain: several run at once, or it is a session that has a name. */
function toPlace(state: LedgerState, ownerId: string, checkpoint: string): { level: 0 | 1; name: string } {
  const owner = state.runs.get(ownerId)
  const name = toSafeText(checkpoint)
  const child = toChildLabel(ownerId)
  if (child !== undefined) return { level: 1, name: child }
  if (owner?.kind !== 'flow') return { level: 0, name: ownerId.endsWith('/main') ? name : `${toRunLabel(ownerId)} › ${name}` }
  const flows = [...state.runs.values()].filter((run) => run.kind === 'flow' && run.status === 'running')
  return { level: 1, name: flows.length > 1 ? `${toRunLabel(ownerId)} › ${name}` : name }
}

function toReasonText({ reason, changed, reused }: EventOf<'checkpoint.started'>): string {
  const goesOn = toCallParts(reused).length > 0
  const saved = goesOn ? `goes on after ${toSavedText(reused, ' · ')}` : 'starts over'
  switch (reason) {
    case 'new':
      return ''
    case 'resumed':
      return `was cut off: ${saved}`
    case 'retried':
      return `had failed: ${saved}`
    case 'changed':
      return `again: ${toPartsText(changed)} changed`
    case 'after-change':
      return 'again: a checkpoint before it executed again'
    case 'no-cache':
      return 'again: the cache is off'
  }
}

/** The lines of a run that ended: how, what was left open, the receipt. */
function toEndLines(state: LedgerState, event: EventOf<'run.completed' | 'run.failed'>): readonly LogLine[] {
  const name = toSafeText(event.name)
  const run = state.runs.get(event.runId)
  const receipt = toReceiptLines(event.receipt, event.durationMs).map(([label, text]) => line('note', 1, '', label, text))
  if (event.type === 'run.completed') return [...toCutLines(state, run), line('complete', 0, name, 'completed'), ...receipt]
  const error = toErrorSummary(event.error)
  const { spent, reused } = event.receipt
  const isKept = spent.checkpoints + reused.checkpoints + toCallParts(spent).length + toCallParts(reused).length > 0
  return [
    ...toCutLines(state, run),
    isInterruption(error)
      ? line('cut', 0, name, 'cut off', toShortError(error))
      : line('fail', 0, name, 'failed', toFailureText(run, error)),
    ...receipt,
    ...(isKept && !isInterruption(error)
      ? [line('note', 1, '', 'next', 'run it again: what finished comes from the store and is not paid again')]
      : []),
  ]
}

/** The error, unless a checkpoint has just said it. */
function toFailureText(run: LedgerRun | undefined, error: ErrorSummary): string {
  const source = run?.checkpoints.findLast(
    (checkpoint) =>
      (checkpoint.status === 'failed' || checkpoint.status === 'reused') &&
      checkpoint.error?.message === error.message &&
      checkpoint.error.code === error.code,
  )
  return source === undefined ? toShortError(error) : `${toErrorLabel(error)} in ${toSafeText(source.name)}`
}

/** The checkpoints of a run that were open when it ended. */
export function toCutLines(state: LedgerState, run: LedgerRun | undefined): readonly LogLine[] {
  return (run?.checkpoints ?? []).flatMap((checkpoint) => {
    if (checkpoint.status !== 'started' || run === undefined) return []
    const { level, name } = toPlace(state, run.id, checkpoint.name)
    return [toCutLine(level, name, toSpendParts(checkpoint.spent))]
  })
}

const toCutLine = (level: LogLine['level'], name: string, parts: readonly string[]): LogLine =>
  line('cut', level, name, 'cut off', parts.length > 0 ? `after ${toList(parts, ' · ')}` : '')

function toRunLines(state: LedgerState, event: EventOf<'run.started' | 'run.completed' | 'run.failed' | 'run.reused'>) {
  const name = toSafeText(event.name)
  const id = `run ${toSafeText(event.runId)}`
  switch (event.type) {
    case 'run.started':
      return [line('begin', 0, name, 'started', event.attempt === 1 ? id : `${keepTogether(`attempt ${event.attempt}`)} · ${id}`)]
    case 'run.reused': {
      const ago = toDuration(event.time - event.completedAt)
      return [
        line(
          'reuse',
          0,
          name,
          'reused',
          `completed ${keepTogether(ago)} ago, returned from the store · ${keepTogether('{ cache: false }')} runs it again`,
        ),
      ]
    }
    default:
      return toEndLines(state, event)
  }
}

/** What is printed of an event. `state` is what was known before it. */
export function toEventLines(state: LedgerState, event: RuntimeEvent): readonly LogLine[] {
  if (isMachineEvent(event)) return [toMachineLine(event)]
  switch (event.type) {
    case 'run.started':
    case 'run.completed':
    case 'run.failed':
    case 'run.reused':
      return toRunLines(state, event)
    case 'text.received':
    case 'call.progressed':
    case 'call.reused':
    case 'call.recovering':
    case 'question.withdrawn':
      return []
    default:
      return toCheckpointLines(state, event)
  }
}

function toCheckpointLines(
  state: LedgerState,
  event: Extract<RuntimeEvent, { readonly checkpoint: string }>,
): readonly LogLine[] {
  const ofMachine = isOfMachine(event)
  const { level, name } = ofMachine ? NO_PLACE : toPlace(state, toOwnerId(state, event), event.checkpoint)
  const run = ofMachine ? `run ${toSafeText(event.runId)} · ` : ''
  switch (event.type) {
    case 'checkpoint.started':
      return [line('start', level, name, 'started', toReasonText(event))]
    case 'checkpoint.finished':
      return [
        line('finish', level, name, 'finished', toList([...toSpendParts(event.spent), toDuration(event.durationMs)], ' · ')),
      ]
    case 'checkpoint.failed': {
      const error = toErrorSummary(event.error)
      const parts = toSpendParts(event.spent)
      if (isInterruption(error)) return [toCutLine(level, name, parts)]
      const spent = parts.length > 0 ? [line('note', level, '', 'spent', toList(parts, ' · '))] : []
      return [line('fail', level, name, 'failed', toShortError(error)), ...spent]
    }
    case 'checkpoint.reused': {
      const detail =
        event.error === undefined
          ? toSavedText(event.reused, ' · ')
          : `failed before, and the same again: ${toShortError(toErrorSummary(event.error))}`
      return [line('reuse', level, name, 'reused', detail)]
    }
    case 'call.started': {
      if (!event.inDoubt) return []
      const twice = event.kind === 'model' ? 'it may be paid twice' : 'its effect may have happened already'
      const what = `${run}${toSafeText(event.kind)} ${cutText(toSafeText(event.name), MAX_LABEL)}`
      return [line('repeat', level, name, 'repeats', `${what}: was in flight when an earlier attempt ended, ${twice}`)]
    }
    case 'call.settled': {
      const { resolution } = event
      if (resolution !== 'recovered' && resolution !== 'reported' && resolution !== 'answered') return []
      const what = `${run}${toSafeText(event.kind)} ${cutText(toSafeText(event.name), MAX_LABEL)}`
      return [
        line(
          'reuse',
          level,
          name,
          RESOLVED[resolution].verb,
          `${what}: was in flight when an earlier attempt ended, ${RESOLVED[resolution].how}`,
        ),
      ]
    }
    case 'question.asked': {
      const what = `${run}${cutText(toSafeText(event.text.replace(/\s+/g, ' ')), MAX_QUESTION)}`
      return [line('note', level, name, 'waits', `${event.kind}: ${what} · answer ${toSafeText(event.key)}`)]
    }
    case 'question.answered':
      return [line('note', level, name, 'answered', `${run}${event.kind} ${cutText(toSafeText(event.name), MAX_LABEL)}`)]
    case 'call.retried': {
      const call = cutText(toSafeText(event.name), MAX_LABEL)
      const error = toShortError(toErrorSummary(event.error))
      return [
        line(
          'repeat',
          level,
          name,
          'retries',
          `${run}${call} in ${toDuration(event.delayMs)}, attempt ${event.attempt} failed · ${error}`,
        ),
      ]
    }
    default:
      return []
  }
}
