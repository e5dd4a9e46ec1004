import type { EventObject } from 'xstate'
import type { ZodType } from 'zod'
import type { OnDoubt, Recovery } from '../actors/doubt.ts'
import type { RetryPolicy } from '../actors/retry.ts'
import type { Limits } from '../machines/limits.ts'
import type { Agent } from './agent.ts'
import type { CheckpointStrategy } from './conversation.ts'
import type { Branch } from './flow-branch.ts'
import type { AnyTurnOptions, TurnResult } from './turn.ts'

/** What `flow.step` hands to its function. */
export interface StepFunctionContext {
  /** Names the step among all runs, the same over restarts: pass it on as an idempotency key. */
  readonly key: string
  /** Counted from 1. More than 1: an earlier attempt failed or was cut off and may have had its effect. */
  readonly attempt: number
  /** Aborts when the run is ended, and when the step has taken too long. */
  readonly signal: AbortSignal
}

/** What is done about a step that fails, takes too long, or was running when its process died. */
export interface StepOptions<T> {
  /**
   * Asks the outside world, by the key, what an attempt came to that was cut off. One that throws is taken for `unknown`. Default: nobody is asked.
   */
  readonly recover?: ((context: StepFunctionContext) => Promise<Recovery<T>> | Recovery<T>) | undefined
  /**
   * What follows when that stays unknown. `retry` (default): `fn` is executed again, with the same key and a higher `attempt`. `report`: the step
   * fails with `STEP_IN_DOUBT`. `ask`: the run waits for a person to say what it came to; see `runtime.pending()`.
   */
  readonly onDoubt?: OnDoubt | undefined
  /** When a failed attempt is followed by another. The wait for it outlives the process. Default: never. */
  readonly retry?: RetryPolicy | undefined
  /** Milliseconds that one attempt may take; then its signal aborts, and it fails with `CALL_FAILED`. Default: no limit. */
  readonly timeoutMs?: number | undefined
}

/** How `flow.waitFor` waits. */
export interface FlowWaitOptions<TSchema extends ZodType = ZodType> {
  /** Gives up with `WAIT_TIMEOUT`. The deadline outlives the process (P8). Default: waits for ever. */
  readonly timeoutMs?: number | undefined
  /** What the event has to be, with its type. One that does not fit is not taken; it stays for another wait. Default: any event of that type. */
  readonly schema?: TSchema | undefined
}

/** An event as it was sent. */
export type SentEvent = EventObject & Readonly<Record<string, unknown>>

/** An element of `flow.all`. */
export type FlowBranch<T> = PromiseLike<T> | (() => PromiseLike<T>)

/** What the branches of `flow.all` come to, in their order. */
export type FlowResults<TBranches extends readonly FlowBranch<unknown>[]> = {
  -readonly [Index in keyof TBranches]: Awaited<TBranches[Index] extends () => infer Result ? Result : TBranches[Index]>
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
   * `STORE_*`, `STEP_NESTED`, `STEP_IN_DOUBT`, `CALL_FAILED` (it took too long).
   */
  step<T>(name: string, fn: (context: StepFunctionContext) => T | Promise<T>, options?: StepOptions<T>): Promise<T>
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
  /**
   * Takes the oldest event of that type that the run was sent (`runtime.get(runId).send(event)`, or `sendToRun` in a machine) and that no wait has taken yet, or
   * waits for one. Two waits for one type get an event each, in the order of asking. The waits of a flow are the checkpoints `<type>`, `<type>_2`, …
   *
   * When it resolves, that the event was taken is on disk: it is taken once, whenever the process dies. A wait that has its event keeps it also when a checkpoint
   * before it is executed again, for what happened outside does not happen again; a run with `cache: false` waits anew. What no wait has taken by the end of the
   * run is told of as `message.dropped`; one that fails keeps it for when it is run again.
   *
   * A deadline is on disk before the wait begins. Another `timeoutMs` than the one that was recorded starts over. Errors: `WAIT_TIMEOUT`, a `TypeError`,
   * `STEP_NESTED`, `FLOW_ENDED`, `ABORTED`, `RUN_CANCELLED`, `STORE_*`.
   *
   * @example
   * ```ts
   * const { order } = await flow.waitFor('paid', { schema: z.object({ type: z.literal('paid'), order: z.string() }) })
   * ```
   */
  waitFor(type: string, options?: Omit<FlowWaitOptions, 'schema'>): Promise<SentEvent>
  waitFor<TSchema extends ZodType>(type: string, options: FlowWaitOptions<TSchema>): Promise<TSchema['_zod']['output']>
  /**
   * Asks a person and waits for the answer, for as long as it takes, over restarts. `runtime.pending()` lists the question, `run.answer` answers it. An answer that
   * does not fit the schema is refused with what is wrong with it, and the question stays open. The answer is recorded as it was given and parsed
   * by the schema each time. The questions of a flow are the checkpoints `ask`, `ask_2`, …; one whose words have changed, or after a checkpoint that was executed
   * again, is asked again.
   *
   * When it resolves, the answer is on disk. Errors: a `TypeError`; `STEP_NESTED`, `FLOW_ENDED`, `ABORTED` (the question is withdrawn, and asked again when the run
   * goes on), `RUN_CANCELLED`, `STORE_*`.
   *
   * @example
   * ```ts
   * const isAllowed = await flow.ask('Deploy to production?', z.boolean())
   * ```
   */
  ask<T>(question: string, schema: ZodType<T>): Promise<T>
  /**
   * Runs branches beside each other and resolves with their results, in their order, when all have settled. A function runs in a scope of its own: what it asks for
   * is named and counted there (`all.1/2/<name>`: the first `all`, its second branch), and an agent has a conversation of its own there, so that branches which
   * interleave in another way after a restart find their own records again, and one agent can work in several. A promise is one of the flow itself; two of
   * these that ask for the same name are told apart by their order.
   *
   * A branch that fails does not cancel the others: when all have settled, it fails with the error of the first of the branches, in their order, that failed. What
   * a branch does must not depend on what another has come to: a checkpoint that changed makes those after it in its branch, and those after the `all`, execute
   * again, and not those of other branches. Can be nested.
   *
   * Errors: those of the branches; a `TypeError`; `STEP_NESTED`, `FLOW_ENDED`, `ABORTED`, `RUN_CANCELLED`.
   *
   * @example
   * ```ts
   * const [draft, facts] = await flow.all([() => writer.run('Write a draft.'), () => flow.step('facts', loadFacts)])
   * ```
   */
  all<const TBranches extends readonly FlowBranch<unknown>[]>(branches: TBranches): Promise<FlowResults<TBranches>>
}

/** An ordinary async function. What it does outside of turns and steps runs again at each attempt. */
export type FlowFunction<TInput, TOutput> = (input: TInput, flow: FlowContext) => Promise<TOutput>

/** How one run of a flow is named, and whether what is recorded of it counts. */
export interface FlowOptions {
  /** Names the run. Default: made of the flow's name and its input, so that the same input finds the same run. */
  readonly id?: string | undefined
  /** `false`: everything executes again and the new records replace the old. Default: true. */
  readonly cache?: boolean | undefined
  /**
   * What all turns of the run may use together, over restarts and whatever their agents' own limits are: a turn that comes to one fails with `LIMIT_REACHED`, or waits,
   * as its profile's `onLimit` says. `wallTimeMs` counts from the beginning of the run. Default: no limit.
   */
  readonly limits?: Limits | undefined
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
   * is asked for from within itself), `RUN_CORRUPT`, `VALUE_NOT_STORABLE` (the input or the result), `STORE_*`, `ABORTED`, `RUN_CANCELLED` (also
   * when it was cancelled before; `cache: false` begins it anew).
   */
  run(input: TInput, options?: FlowOptions): Promise<TOutput>
}

/** The run that code is in: found through the async context. */
export interface FlowScope {
  /** Whether it is that run, or was started by it. */
  isWithin(runId: string): boolean
  /** Errors: `STEP_NESTED`. */
  assertNotInStep(what: string): void
  /** The branch of that run that the code is in. */
  branchOf(runId: string): Branch | undefined
  runTurn(agent: Agent<unknown>, strategy: CheckpointStrategy, prompt: string, options: AnyTurnOptions): Promise<TurnResult>
}
