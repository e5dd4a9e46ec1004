import type { ChangedPart, CheckpointReason, Receipt } from '../runtime/events.ts'
import { NO_SPEND, type Spend } from '../runtime/spend.ts'
import type { ErrorSummary } from './error-summary.ts'

/** A model or tool call in flight. */
export interface LedgerCall {
  readonly key: string
  /** `model` or `tool`. */
  readonly kind: string
  readonly name: string
  /** Counted from 1, over restarts. */
  readonly attempt: number
  /** An earlier attempt ended while it was in flight: it is made once more. */
  readonly inDoubt: boolean
  readonly startedAt: number
  /** How often the call failed and was repeated. */
  readonly retries: number
  /** Characters of text received. */
  readonly textLength: number
}

interface Checkpoint {
  readonly name: string
  readonly kind: 'turn' | 'step'
  /** Why it executed; `undefined` when it did not. */
  readonly reason: CheckpointReason | undefined
  /** The parts that differ from its record. */
  readonly changed: readonly ChangedPart[]
  /** What was returned from the store. */
  readonly reused: Spend
  /** What it cost in this attempt, so far: calls by kind, tokens, dollars. */
  readonly spent: Spend
  /** Characters of text that the model wrote in this attempt, also before a tool call. */
  readonly textLength: number
  readonly startedAt: number
}

/** A checkpoint of an attempt. `interrupted`: the run ended before it did; what had settled in it is kept. */
export type LedgerCheckpoint =
  | (Checkpoint & { readonly status: 'started'; readonly calls: readonly LedgerCall[] })
  | (Checkpoint & { readonly status: 'finished' | 'interrupted'; readonly endedAt: number })
  | (Checkpoint & { readonly status: 'failed'; readonly endedAt: number; readonly error: ErrorSummary })
  /** `error`: it was recorded as failed, and failed the same again. */
  | (Checkpoint & { readonly status: 'reused'; readonly endedAt: number; readonly error: ErrorSummary | undefined })

interface Run {
  readonly id: string
  /** The flow's name, or the agent's. */
  readonly name: string
  /** A flow, or a conversation outside of one. */
  readonly kind: 'flow' | 'session'
  /** 0 for a session. */
  readonly attempt: number
  readonly startedAt: number
  /** Those of the newest attempt, in the order in which they began. Of a session the last 1,000. */
  readonly checkpoints: readonly LedgerCheckpoint[]
}

/** A run, as its newest attempt left it. `idle`: a session between turns. `reused`: it had completed before and was not executed. */
export type LedgerRun =
  | (Run & { readonly status: 'running' })
  | (Run & { readonly status: 'idle'; readonly endedAt: number })
  | (Run & { readonly status: 'completed'; readonly endedAt: number; readonly receipt: Receipt })
  | (Run & { readonly status: 'failed'; readonly endedAt: number; readonly receipt: Receipt; readonly error: ErrorSummary })
  | (Run & { readonly status: 'reused'; readonly endedAt: number; readonly completedAt: number })

const MAX_CHECKPOINTS = 1_000

/** Where a checkpoint of that name and kind is. */
const indexOf = (run: LedgerRun, name: string, kind: 'turn' | 'step'): number =>
  run.checkpoints.findLastIndex((checkpoint) => checkpoint.name === name && checkpoint.kind === kind)

/** The run with a checkpoint that began, in place of one of the same name. */
export function beginCheckpoint<T extends LedgerRun>(run: T, checkpoint: LedgerCheckpoint): T {
  const index = indexOf(run, checkpoint.name, checkpoint.kind)
  const others = index === -1 ? run.checkpoints : run.checkpoints.toSpliced(index, 1)
  return { ...run, checkpoints: [...others.slice(-(MAX_CHECKPOINTS - 1)), checkpoint] }
}

/** The run with a checkpoint that is open changed; the same run when there is none. */
export function changeCheckpoint<T extends LedgerRun>(
  run: T,
  { checkpoint: name, kind }: { readonly checkpoint: string; readonly kind: 'turn' | 'step' },
  change: (checkpoint: LedgerCheckpoint & { readonly status: 'started' }) => LedgerCheckpoint,
): T {
  const index = indexOf(run, name, kind)
  const checkpoint = run.checkpoints[index]
  return checkpoint?.status === 'started' ? { ...run, checkpoints: run.checkpoints.with(index, change(checkpoint)) } : run
}

/** The run with a call in flight changed, or without it. */
export function changeCall<T extends LedgerRun>(
  run: T,
  event: { readonly checkpoint: string; readonly key: string },
  change: (call: LedgerCall) => LedgerCall | undefined,
): T {
  return changeCheckpoint(run, { checkpoint: event.checkpoint, kind: 'turn' }, (checkpoint) => {
    const index = checkpoint.calls.findIndex(({ key }) => key === event.key)
    const call = checkpoint.calls[index]
    if (call === undefined) return checkpoint
    const changed = change(call)
    const calls = changed === undefined ? checkpoint.calls.toSpliced(index, 1) : checkpoint.calls.with(index, changed)
    const textLength = checkpoint.textLength + (changed === undefined ? 0 : changed.textLength - call.textLength)
    return { ...checkpoint, calls, textLength }
  })
}

/** An open checkpoint without what only open ones have. */
export function toEnded(checkpoint: LedgerCheckpoint & { readonly status: 'started' }): Checkpoint {
  const { status: _status, calls: _calls, ...rest } = checkpoint
  return rest
}

/** The checkpoints of a run that ended: none is open. */
export function interruptCheckpoints(run: LedgerRun, endedAt: number): readonly LedgerCheckpoint[] {
  return run.checkpoints.map((checkpoint) =>
    checkpoint.status === 'started' ? { ...toEnded(checkpoint), status: 'interrupted', endedAt } : checkpoint,
  )
}

/** A checkpoint that begins. */
export function newCheckpoint(name: string, kind: 'turn' | 'step', startedAt: number): Checkpoint {
  return { name, kind, reason: undefined, changed: [], reused: NO_SPEND, spent: NO_SPEND, textLength: 0, startedAt }
}
