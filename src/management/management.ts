import type { Message } from '../machines/conversation.ts'
import type { RetentionPolicy } from '../persistence/retention.ts'
import type { DoubtResolution, RunStatus } from '../persistence/run-record.ts'
import type { RuntimeEvent } from '../runtime/events.ts'
import type { ForkOptions } from '../runtime/fork-options.ts'
import type { HandOutcome } from '../runtime/hand-settlement.ts'
import type { MachineDescription } from '../runtime/machine-description.ts'
import type { Pending, PendingFilter } from '../runtime/pending.ts'
import type { RunInfo } from '../runtime/run-list.ts'
import type { Spend } from '../runtime/spend.ts'
import type { StepInfo, StepStatus } from '../runtime/step-list.ts'
import type { StreamChunk, StreamOptions } from '../runtime/stream.ts'
import type { Finding } from './finding.ts'
import type { Collected } from './gc.ts'
import type { StoreStats } from './stats.ts'

/** A store, and who has it open. */
export interface StoreInfo {
  readonly directory: string
  /** The process that has the store open. `startedAt`: since when, in epoch milliseconds. */
  readonly owner: { readonly pid: number; readonly startedAt: number }
  /** The version of this package in that process. */
  readonly version: string
  /** The version of Node.js there. */
  readonly node: string
  /** The ids of the machines that it was opened with, and the names of the flows that it has by now. */
  readonly machines: readonly string[]
  readonly flows: readonly string[]
}

/** An error as it was recorded. `code`: of an error that has one. */
export interface ErrorText {
  readonly code: string | undefined
  readonly message: string
}

/** What of a run fits into one line of a list. Times are epoch milliseconds. */
export interface RunSummary extends RunInfo {
  /** The run that it belongs to: the flow whose conversation it is, or the run whose call it works for. */
  readonly parent: string | undefined
  /** Of a fork: the run that it began with, which may be gone, and the first turn that is not that one's. */
  readonly forkedFrom: { readonly run: string; readonly turn: number } | undefined
  /** The state of a machine, as `snapshot.value`; undefined for other runs. */
  readonly state: unknown
  /** How many turns were begun, with those of the runs within it. */
  readonly turns: number
  /** What its settled calls have cost, with those of the runs within it. */
  readonly spend: Spend
  /** How many questions, of it and of the runs within it, wait for a person. */
  readonly pending: number
  /** What it waits for, in a few words: `approval of deploy`, `until 2026-11-24T09:00:00.000Z`, `an event`. */
  readonly waitsFor: string | undefined
  /** Why it failed, was cancelled or cannot go on. */
  readonly error: ErrorText | undefined
}

/** A run of which not even that can be read. */
export interface UnreadableRun {
  readonly id: string
  readonly status: 'unreadable'
  readonly error: ErrorText
}

/** Which runs are listed, and how many. */
export interface RunQuery {
  readonly status?: RunStatus | undefined
  readonly kind?: RunInfo['kind'] | undefined
  /** The id of a machine, or the name of a flow or agent. */
  readonly name?: string | undefined
  /** Only these, as far as there are such. */
  readonly ids?: readonly string[] | undefined
  /** Only runs that were changed at this time or later, in epoch milliseconds. */
  readonly updatedSince?: number | undefined
  /** Only runs that wait for a person, or have a run within them that does. */
  readonly hasPending?: boolean | undefined
  /** Only runs that belong to no other. */
  readonly isTop?: boolean | undefined
  /** Only runs whose id comes behind this one: the last of the page before. */
  readonly after?: string | undefined
  /** At most this many. Default: all. */
  readonly limit?: number | undefined
}

/** One call of a run: a model request, a tool, a question, a step of a flow or a machine. */
export interface CallNode {
  /** Names the step in its run. */
  readonly key: string
  readonly kind: string
  readonly name: string
  readonly status: StepStatus
  /** How often it was started. */
  readonly attempt: number
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly retryAt: number | undefined
  readonly resolution: DoubtResolution | undefined
  /** It had settled before its turn was last taken up, and was not paid again. */
  readonly reused: boolean
  /** Its turn has started over since: what it came to was paid and is not used. */
  readonly isVoid: boolean
  readonly spend: Spend
  /** What a tool was called with, as the model wrote it; what a question asks. */
  readonly arguments: string | undefined
  /** What it returned: of a model its text, of a tool what the model was told, else the value itself. */
  readonly result: unknown
  readonly error: ErrorText | undefined
  /** The runs of the agents that worked for it. */
  readonly runs: readonly string[]
  /** What followed from it: the tools that an answer called, the approval of a tool. */
  readonly calls: readonly CallNode[]
}

/** A turn, with the calls in it. */
export interface TurnNode {
  /** From 1. */
  readonly turn: number
  readonly checkpoint: string
  readonly status: StepStatus
  /** How often it was started or taken up again. */
  readonly tries: number
  /** Since it was last taken up, in epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  /** Undefined where the conversation no longer has it. */
  readonly prompt: string | undefined
  readonly output: string | undefined
  readonly error: ErrorText | undefined
  /** What it has cost in all. */
  readonly spend: Spend
  readonly calls: readonly CallNode[]
}

/** Everything that is recorded of a run, but for its messages and its snapshot. */
export interface RunDetails extends RunSummary {
  /** The runs that belong to it, by their ids. */
  readonly children: readonly string[]
  /** The turns of an agent’s conversation, each with its calls. Of a fork, those that are not its origin's. */
  readonly tree: readonly TurnNode[]
  /** What belongs to no turn: the steps of a flow or machine, and the calls of agents that the machine invokes. */
  readonly steps: readonly CallNode[]
  readonly questions: readonly Pending[]
  /** What a flow or machine was started with, and what it came to. */
  readonly input: unknown
  readonly output: unknown
}

/** One message of a conversation. */
export interface TranscriptMessage {
  /** The conversation that it is of: the run itself, or one within it. */
  readonly runId: string
  /** From 1; 0 for that of an agent that a machine invokes, and where a fork's origin, which knew the turn, is gone. */
  readonly turn: number
  readonly message: Message
}

/** The state of a run as it is on disk. What of it is no plain data is as it was recorded. */
export interface RunSnapshot {
  readonly runId: string
  readonly status: RunStatus
  /** The state of the machine; undefined for a flow, which has none. */
  readonly state: unknown
  readonly context: unknown
  readonly output: unknown
  /** The actors of a machine that are active, by id: each as its own snapshot. */
  readonly children: Readonly<Record<string, unknown>>
  /** The delayed events that are still to come. `at`: epoch milliseconds. */
  readonly timers: readonly { readonly at: number; readonly event: string }[]
}

/** Which events are read. */
export interface EventQuery {
  /** Only those of this run and of the runs within it (`<run>/…`). Default: all. */
  readonly run?: string | undefined
  /** Ends the iteration with `ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/**
 * What a person does to a store, whoever has it open: {@link connect} gives one. Everything it returns is data that is on disk, and can be kept. Besides the errors
 * of each method: `OWNER_GONE` when the process that has the store open ends (what was acknowledged is on disk), `STORE_CLOSED` when it closes the store.
 */
export interface Management {
  /** Which store it is, and who has it open. */
  info(): Promise<StoreInfo>
  /**
   * The runs of the store in the order of their ids, without loading them, a page at a time in memory. One that cannot be read is an item with the status
   * `unreadable`. Errors: a `TypeError` for a filter that is none.
   */
  runs(query?: RunQuery): AsyncIterable<RunSummary | UnreadableRun>
  /** Everything about one run, its calls as a tree. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
  run(id: string): Promise<RunDetails>
  /** As `run.steps()`. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
  steps(id: string): AsyncIterable<StepInfo>
  /** As `runtime.pending()`: what waits for a person. Errors: `RUN_CORRUPT`. */
  pending(filter?: PendingFilter): AsyncIterable<Pending>
  /** As `run.stream()`: what its models write and its steps tell, as it comes. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`, `ABORTED`. */
  stream(id: string, options?: StreamOptions): AsyncIterable<StreamChunk>
  /**
   * What happens in the process that has the store open, from now on, until it closes the store or the iteration is ended. Whoever is slower than 10,000 events
   * misses those in the middle. What an event holds that cannot be sent is a text.
   */
  events(query?: EventQuery): AsyncIterable<RuntimeEvent>
  /** The messages of a conversation, or of all conversations within a run. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
  transcript(id: string): AsyncIterable<TranscriptMessage>
  /** Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
  snapshot(id: string): Promise<RunSnapshot>
  /**
   * What the machine of a run looks like: the one that the run goes on with, also that of an agent's conversation. Undefined for a flow, which has none. Errors: `RUN_NOT_FOUND`,
   * `RUN_CORRUPT`, `MACHINE_UNKNOWN` (the process that has the store open does not know the machine).
   */
  machine(id: string): Promise<MachineDescription | undefined>
  /** As `run.answer()`. On disk when it resolves. Errors: `STEP_UNKNOWN`, `STEP_SETTLED`, `ANSWER_INVALID`, `RUN_NOT_FOUND`, `STORE_*`. */
  answer(id: string, question: string, value: unknown): Promise<void>
  /**
   * As `run.send()`: on disk, with what it led to, when it resolves. `id` names the event: one that was taken before is not taken again. Errors: `RUN_NOT_FOUND`,
   * `RUN_ENDED`, `RUN_INCOMPATIBLE`, `MACHINE_UNKNOWN` (the process that has the store open does not know the machine), `VALUE_NOT_STORABLE`, `STORE_*`.
   */
  send(id: string, event: { readonly type: string }, options?: { readonly id?: string | undefined }): Promise<void>
  /** As `run.cancel()`. Errors: as {@link Management.send}. */
  cancel(id: string, reason?: string): Promise<void>
  /** As `run.settle()`: says what a step in doubt came to. Errors: `STEP_UNKNOWN`, `STEP_SETTLED`, `RUN_NOT_FOUND`, `RUN_CONFLICT`. */
  settle(id: string, key: string, outcome: HandOutcome): Promise<void>
  /**
   * Lets the run of a machine go on that was left alone, or all that have something to do. Errors, with an id: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_INCOMPATIBLE`,
   * `MACHINE_UNKNOWN`, `RUN_CONFLICT` (of a flow or agent: it goes on when the app asks for it again).
   */
  resume(id?: string): Promise<void>
  /**
   * As `runtime.fork()`: a new conversation that begins with what came before a turn or a call of another. `id` is the new run's; it goes on when the app runs that session.
   * On disk when it resolves. Errors: `FORK_IMPOSSIBLE`, `RUN_NOT_FOUND`, `RUN_CONFLICT`, `RUN_ID_INVALID`, `ANSWER_INVALID`; a `TypeError` for options that are none.
   */
  fork(id: string, options: ForkOptions): Promise<{ readonly id: string }>
  /** As `runtime.delete()`. False: there was none. Errors: `RUN_CONFLICT`. */
  delete(id: string): Promise<boolean>
  /**
   * Reads and checks every record of the store as of one moment, and tells what is damaged and what that costs: nothing, if there is nothing to be told. Nothing is changed. What is wrong
   * with the database as a whole shows when it is opened (`STORE_CORRUPT`). Of each run a few hundred bytes are in memory.
   */
  verify(): AsyncIterable<Finding>
  /**
   * A run and the runs that belong to it, as bytes for a file (`*.perdure`), compressed. They are of one moment, such as a crash could have left, also while the run goes on. They hold what the
   * records do, the messages among it. The files of commands are not part of it. What ends with an error is no export: remove it. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT` (what is
   * damaged is not exported).
   */
  export(id: string): AsyncIterable<Uint8Array>
  /**
   * Writes the runs of an export, under `id` if one is given. They are dormant: nothing of them goes on by itself, not even when the store is opened again, until somebody asks for it
   * (`resume` with the id, an event, an answer). A command that was under way is in doubt: its output is not part of an export.
   *
   * On disk when it resolves; if it fails, or the process dies in the middle, nothing of it is. Errors: `EXPORT_INVALID`, `RUN_CONFLICT` (there is a run of that id), `RUN_ID_INVALID`,
   * `STORE_*`, what `source` throws.
   *
   * @example
   * ```ts
   * await store.import(createReadStream('order-7.perdure'), { id: 'bug/7' })
   * ```
   */
  import(source: AsyncIterable<Uint8Array>, options?: { readonly id?: string | undefined }): Promise<{ readonly id: string }>
  /** What is in the store: runs, cost, records, bytes. Everything is read, once, as of one moment. Errors: `STORE_CORRUPT`: see {@link Management.verify}. */
  stats(): Promise<StoreStats>
  /**
   * Removes what nobody needs any more, and gives the space back to the disk: with a `policy` the runs that it does not keep, as the option `retention` of `openRuntime`; the files of
   * commands that have settled; entries of indexes that lead to nothing; records of runs that there are not. What is in use stays. It may be interrupted at any time. Errors: a
   * `TypeError` for a policy that is none, `STORE_*`.
   */
  gc(policy?: RetentionPolicy): Promise<Collected>
}
