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
/** When the run was created: with its id it names the run, also after a run of that id was deleted and another began. */
type OfRun = { readonly runCreatedAt: number }
type Checkpoint = Common & { readonly checkpoint: string; readonly kind: 'turn' | 'step' }
type Machine = Common & { readonly name: string }
type Call = Common & { readonly checkpoint: string; readonly key: string; readonly kind: string; readonly name: string }

type Question = Call
/** Whose model is asked; which of the tool calls of an answer it is, as the provider names it. */
type CallFacts = { readonly provider?: string | undefined; readonly callId?: string | undefined }
/** What a turn is besides its name. */
type TurnFacts = {
  /** Turn of its conversation, from 1. */
  readonly turn: number
  readonly agent: string
  readonly model: string
  /** Counted from 1, over restarts. */
  readonly attempt: number
  /** The run that the conversation belongs to; and, of an agent that works for a call, the key of that call there. */
  readonly parent?: { readonly runId: string; readonly key?: string | undefined } | undefined
}

/** What happened, as it happens. Times are epoch milliseconds, durations milliseconds. */
export type RuntimeEvent =
  | (Common & OfRun & { readonly type: 'run.started'; readonly name: string; readonly attempt: number })
  | (Common & { readonly type: 'run.completed'; readonly name: string; readonly durationMs: number; readonly receipt: Receipt })
  | (Common & {
      readonly type: 'run.failed'
      readonly name: string
      readonly durationMs: number
      readonly receipt: Receipt
      readonly error: unknown
    })
  | (Common & { readonly type: 'run.reused'; readonly name: string; readonly completedAt: number })
  | (Checkpoint &
      OfRun & {
        readonly type: 'checkpoint.started'
        readonly reason: CheckpointReason
        readonly changed: readonly ChangedPart[]
        /** Calls of this turn that had settled before and are not made again. */
        readonly reused: Spend
        /** Of a turn. */
        readonly of?: TurnFacts | undefined
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
  | (Call & OfRun & CallFacts & { readonly type: 'call.started'; readonly attempt: number; readonly inDoubt: boolean })
  /** A call was cut off; its policy says how its outcome is found out. */
  | (Call & OfRun & CallFacts & { readonly type: 'call.recovering'; readonly attempt: number })
  /** `resolution`: it was in doubt, and came out of it in this way. */
  | (Call & {
      readonly type: 'call.settled'
      readonly status: 'ok' | 'error'
      readonly spent: Spend
      readonly resolution?: DoubtResolution | undefined
      readonly error?: unknown
      /** Of a tool call that settled: it failed, and the model is told so. */
      readonly isToolError?: boolean | undefined
      /** Of an answer: the model that gave it, and the provider's id of it, as the provider names them. */
      readonly answered?: { readonly model: string; readonly responseId: string | undefined } | undefined
    })
  | (Call & OfRun & { readonly type: 'call.reused' })
  | (Call & { readonly type: 'call.retried'; readonly attempt: number; readonly delayMs: number; readonly error: unknown })
  | (Call & { readonly type: 'text.received'; readonly delta: string })
  /** What a tool tells of how far it is. */
  | (Call & { readonly type: 'call.progressed'; readonly value: unknown })
  /** The run waits for a person: `key` is the id to answer. */
  | (Question & { readonly type: 'question.asked'; readonly text: string })
  | (Question & { readonly type: 'question.answered' })
  /** Nobody needs the answer any more. */
  | (Question & { readonly type: 'question.withdrawn' })
  | (Machine & OfRun & { readonly type: 'machine.started' })
  | (Machine & OfRun & { readonly type: 'machine.completed' })
  | (Machine & OfRun & { readonly type: 'machine.failed'; readonly error: unknown })
  | (Machine & OfRun & { readonly type: 'machine.cancelled'; readonly reason: string | undefined })
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
