import type { Agent } from './agent.ts'
import type { CheckpointStrategy } from './conversation.ts'
import type { TurnOptions, TurnResult } from './turn.ts'

/** What `flow.step` hands to its function. */
export interface StepFunctionContext {
  /** Names the step among all runs, the same over restarts: pass it on as an idempotency key. */
  readonly key: string
  /** Counted from 1. More than 1: an earlier attempt failed or was cut off and may have had its effect. */
  readonly attempt: number
  /** Aborts when the run is ended. */
  readonly signal: AbortSignal
}

/** What a flow's function is given besides its input. */
export interface FlowContext {
  readonly runId: string
  /** Which attempt at this run it is, from 1. */
  readonly attempt: number
  /** Aborts when the run is ended: hand it to what you await outside of steps. */
  readonly signal: AbortSignal
  /**
   * Executes `fn` once: its result is recorded under `name` (a second step of that name is `name_2`) and returned from the store
   * from then on. Resolves when the result is on disk. A `fn` that throws is recorded too: after a crash it throws the same
   * again, when the flow is started anew after a failure it executes again. Errors: what `fn` throws, `VALUE_NOT_STORABLE`,
   * `STORE_*`, `STEP_NESTED`.
   */
  step<T>(name: string, fn: (context: StepFunctionContext) => T | Promise<T>): Promise<T>
  /**
   * Waits for `ms` milliseconds, also for a year, whatever happens to the process meanwhile. The sleeps of a flow are the checkpoints `sleep`, `sleep_2`, … in
   * the order in which they are asked for. The deadline is on disk before the wait begins: a flow that is run again waits for what is left
   * of it, not at all when it has passed (P8), and a finished sleep is over at once. It resolves when its end is on disk.
   *
   * Another duration than the one that was recorded: a sleep that has not ended starts over with the new one; one that has ended stays so. A clock that is
   * put back makes no sleep longer than `ms`.
   *
   * Errors: a `TypeError` when `ms` is no finite number ≥ 0; `STEP_NESTED`, `FLOW_ENDED`, `ABORTED` (the run was ended; the deadline is kept), `STORE_*`.
   */
  sleep(ms: number): Promise<void>
  /**
   * Waits until `time` (epoch milliseconds, or a Date); a time that has passed is over at once. Otherwise as {@link FlowContext.sleep}, with which it shares
   * its names. A time that is worked out anew at each attempt is another one each time: have it worked out in a step.
   *
   * Errors: a `TypeError` when `time` is no time; otherwise those of {@link FlowContext.sleep}.
   */
  sleepUntil(time: Date | number): Promise<void>
}

/** An ordinary async function. What it does outside of turns and steps runs again at each attempt. */
export type FlowFunction<TInput, TOutput> = (input: TInput, flow: FlowContext) => Promise<TOutput>

export interface FlowOptions {
  /** Names the run. Default: made of the flow's name and its input, so that the same input finds the same run. */
  readonly id?: string | undefined
  /** `false`: everything executes again and the new records replace the old. Default: true. */
  readonly cache?: boolean | undefined
  /** Ends the run with `ABORTED`; starting it again goes on from there. */
  readonly signal?: AbortSignal | undefined
}

/** A flow that can be run. */
export interface Flow<TInput, TOutput> {
  readonly name: string
  /**
   * Runs the flow, or goes on with the run of that id: finished checkpoints come from the store, the first unfinished one
   * executes; of a completed run it is the recorded result, at once. Asked for twice in one process, it is one run. When it resolves,
   * the result is on disk. Errors: what the function throws, `RUN_CONFLICT` (the id belongs to another flow or input, or the run
   * is asked for from within itself), `RUN_CORRUPT`, `VALUE_NOT_STORABLE` (the input or the result), `STORE_*`, `ABORTED`.
   */
  run(input: TInput, options?: FlowOptions): Promise<TOutput>
}

/** The run that code is in: found through the async context. */
export interface FlowScope {
  /** Whether it is that run, or was started by it. */
  isWithin(runId: string): boolean
  /** Errors: `STEP_NESTED`. */
  assertNotInStep(what: string): void
  runTurn(agent: Agent, strategy: CheckpointStrategy, prompt: string, options: TurnOptions): Promise<TurnResult>
}
