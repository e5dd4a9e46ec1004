import type { NonReducibleUnknown, PromiseActorLogic } from 'xstate'
import { type OnDoubt, type Recovery, retryInDoubt } from './doubt.ts'
import { type RetryPolicy, toRetryDelay } from './retry.ts'
import { type StepContext, toStepLogic } from './step.ts'

/** What the function of {@link fromStep} is given. */
export interface StepArguments<TInput> extends Omit<StepContext, 'note' | 'doubted'> {
  readonly input: TInput
}

/** How a step is retried, limited in time, and brought out of doubt. */
export interface FromStepOptions<TOutput = unknown, TInput = unknown> {
  /**
   * `false`: executing it changes nothing outside, so it need not wait until its intent is on disk. Default: true.
   */
  readonly effect?: boolean | undefined
  /**
   * Asks the outside world, with the `key`, what became of an attempt that was cut off: `settled` with its `value` or its `error`, `notStarted`, or `unknown`.
   * One that throws is taken for `unknown`. Default: nobody can tell.
   */
  readonly recover?: ((step: StepArguments<TInput>) => Recovery<TOutput> | Promise<Recovery<TOutput>>) | undefined
  /**
   * What is done when the outcome of an attempt that was cut off is not known: `retry` executes it again, with the same `key`; `report` fails with
   * `STEP_IN_DOUBT`; `ask` waits until a person has said. Default: `retry`.
   */
  readonly onDoubt?: OnDoubt | undefined
  /** Milliseconds that one attempt may take; then `signal` aborts and it fails. Default: no limit. */
  readonly timeoutMs?: number | undefined
  /** When an attempt that failed is followed by another, with the same `key`. Default: never. */
  readonly retry?: RetryPolicy | undefined
}

/**
 * Actor logic for a promise that is journaled: used like XState's `fromPromise`. Once it has settled, it is never executed again: the outcome is on
 * disk together with the transition that it caused. If the process dies while it runs, it is executed once more after the restart, with the same
 * `key` (hand it on as an idempotency key) and a higher `attempt`, unless `recover` or `onDoubt` say otherwise. Without a runtime, in a plain `createActor`, it simply executes.
 *
 * @example
 * ```ts
 * const charge = fromStep(({ input, key, signal }: StepArguments<Order>) => payments.charge(input, { idempotencyKey: key, signal }))
 * const machine = setup({ actors: { charge } }).createMachine({ … invoke: { src: 'charge', input: ({ context }) => context.order, onDone: 'paid' } })
 * ```
 */
export function fromStep<TOutput, TInput = NonReducibleUnknown>(
  execute: (step: StepArguments<TInput>) => TOutput | Promise<TOutput>,
  options: FromStepOptions<TOutput, TInput> = {},
): PromiseActorLogic<TOutput, TInput> {
  const { effect = true, recover, onDoubt = 'retry', timeoutMs, retry } = options
  const toArguments = (input: TInput, { note: _, doubted: __, progress, ...context }: StepContext): StepArguments<TInput> => ({
    ...context,
    input,
    progress: (value) => progress({ type: 'progress', value }),
  })
  const delay = retry === undefined ? undefined : toRetryDelay(retry)
  return toStepLogic<TOutput, TInput>(
    (input, { id, src }) => ({
      kind: 'step',
      name: typeof src === 'string' ? src : id,
      effect,
      policy: {
        doubt: {
          ...retryInDoubt<TOutput>(),
          onDoubt,
          recover: recover === undefined ? undefined : async ({ noted: _, ...context }) => recover(toArguments(input, context)),
        },
        timeoutMs,
        retry: delay,
      },
    }),
    async (input, context) => execute(toArguments(input, context)),
  )
}
