import type { DoubtResolution } from '../persistence/run-record.ts'
import type { Spend } from './spend.ts'
import type { ResolvedDoubt } from './step-execution.ts'

/** What an attempt at a run reused and what it paid for. */
export interface Receipt {
  /** Checkpoints returned from the store, and calls of unfinished turns that had settled. Not paid again. */
  readonly reused: Spend & { readonly checkpoints: number }
  /** What this attempt executed. */
  readonly spent: Spend & { readonly checkpoints: number }
  /** Calls that were in flight when an earlier attempt died and were made once more: possibly paid twice. */
  readonly repeated: { readonly modelCalls: number; readonly toolCalls: number }
  /** Calls that were in doubt, and what was done about each. */
  readonly doubts: readonly ResolvedDoubt[]
}

/** Why a checkpoint executes: it is new, it was left unfinished, it failed before, or what it was recorded for has changed. */
export type CheckpointReason = 'new' | 'resumed' | 'retried' | 'changed' | 'after-change' | 'no-cache'

/** The part of a turn that differs from its record. */
export type ChangedPart = 'prompt' | 'system prompt' | 'model' | 'tools' | 'settings' | 'output'

type Common = { readonly runId: string; readonly time: number }
type Checkpoint = Common & { readonly checkpoint: string; readonly kind: 'turn' | 'step' }
type Machine = Common & { readonly name: string }
type Call = Common & { readonly checkpoint: string; readonly key: string; readonly kind: string; readonly name: string }

type Question = Call

/** What happened, as it happens. Times are epoch milliseconds, durations milliseconds. */
export type RuntimeEvent =
  | (Common & { readonly type: 'run.started'; readonly name: string; readonly attempt: number })
  | (Common & { readonly type: 'run.completed'; readonly name: string; readonly durationMs: number; readonly receipt: Receipt })
  | (Common & {
      readonly type: 'run.failed'
      readonly name: string
      readonly durationMs: number
      readonly receipt: Receipt
      readonly error: unknown
    })
  | (Common & { readonly type: 'run.reused'; readonly name: string; readonly completedAt: number })
  | (Checkpoint & {
      readonly type: 'checkpoint.started'
      readonly reason: CheckpointReason
      readonly changed: readonly ChangedPart[]
      /** Calls of this turn that had settled before and are not made again. */
      readonly reused: Spend
    })
  | (Checkpoint & {
      readonly type: 'checkpoint.finished'
      readonly spent: Spend
      readonly reused: Spend
      /** Of a turn: its calls that were in doubt, and what was done about each. */
      readonly doubts?: readonly ResolvedDoubt[] | undefined
      readonly durationMs: number
    })
  | (Checkpoint & {
      readonly type: 'checkpoint.failed'
      readonly spent: Spend
      readonly doubts?: readonly ResolvedDoubt[] | undefined
      readonly durationMs: number
      readonly error: unknown
    })
  | (Checkpoint & { readonly type: 'checkpoint.reused'; readonly reused: Spend; readonly error?: unknown })
  /** `inDoubt`: an earlier attempt was cut off, and nobody knows what it came to. */
  | (Call & { readonly type: 'call.started'; readonly attempt: number; readonly inDoubt: boolean })
  /** A call was cut off; its policy says how its outcome is found out. */
  | (Call & { readonly type: 'call.recovering'; readonly attempt: number })
  /** `resolution`: it was in doubt, and came out of it in this way. */
  | (Call & {
      readonly type: 'call.settled'
      readonly status: 'ok' | 'error'
      readonly spent: Spend
      readonly resolution?: DoubtResolution | undefined
      readonly error?: unknown
    })
  | (Call & { readonly type: 'call.reused' })
  | (Call & { readonly type: 'call.retried'; readonly attempt: number; readonly delayMs: number; readonly error: unknown })
  | (Call & { readonly type: 'text.received'; readonly delta: string })
  /** What a tool tells of how far it is. */
  | (Call & { readonly type: 'call.progressed'; readonly value: unknown })
  /** The run waits for a person: `key` is the id to answer. */
  | (Question & { readonly type: 'question.asked'; readonly text: string })
  | (Question & { readonly type: 'question.answered' })
  /** Nobody needs the answer any more. */
  | (Question & { readonly type: 'question.withdrawn' })
  | (Machine & { readonly type: 'machine.started' })
  | (Machine & { readonly type: 'machine.completed' })
  | (Machine & { readonly type: 'machine.failed'; readonly error: unknown })
  | (Machine & { readonly type: 'machine.cancelled'; readonly reason: string | undefined })
  /** The machine no longer has what the run needs: it waits for one that has. */
  | (Machine & { readonly type: 'machine.parked'; readonly missing: readonly string[] })
  /** A run with work could not be brought into memory. It is kept as it is, and tried again at the next opening. */
  | (Common & { readonly type: 'run.blocked'; readonly error: unknown })
  /** A run that had come to its end was removed, as `retention` says. */
  | (Common & { readonly type: 'run.removed' })
  /** A run was sent a message by another, and does not exist or has come to its end. */
  | (Common & { readonly type: 'message.dropped'; readonly from: string; readonly event: { readonly type: string } })

type WithoutTime<T> = T extends unknown ? Omit<T, 'time'> : never
export type EmittedEvent = WithoutTime<RuntimeEvent>

/** Hears each event of a runtime as it happens. */
export type EventListener = (event: RuntimeEvent) => void
