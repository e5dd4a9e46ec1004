import type { NonReducibleUnknown, PromiseActorLogic } from 'xstate'
import { type StepContext, toStepLogic } from './step.ts'

/** What the function of {@link fromStep} is given. */
export interface StepArguments<TInput> extends Omit<StepContext, 'progress'> {
  readonly input: TInput
}

export interface FromStepOptions {
  /**
   * `false`: executing it changes nothing outside, so it need not wait until its intent is on disk. Default: true.
   */
  readonly effect?: boolean | undefined
}

/**
 * Actor logic for a promise that is journaled: used like XState's `fromPromise`. Once it has settled, it is never executed again: the outcome is on
 * disk together with the transition that it caused. If the process dies while it runs, it is executed once more after the restart, with the same
 * `key` (hand it on as an idempotency key) and a higher `attempt`. Without a runtime, in a plain `createActor`, it simply executes.
 *
 * @example
 * ```ts
 * const charge = fromStep(({ input, key, signal }: StepArguments<Order>) => payments.charge(input, { idempotencyKey: key, signal }))
 * const machine = setup({ actors: { charge } }).createMachine({ … invoke: { src: 'charge', input: ({ context }) => context.order, onDone: 'paid' } })
 * ```
 */
export function fromStep<TOutput, TInput = NonReducibleUnknown>(
  execute: (step: StepArguments<TInput>) => TOutput | Promise<TOutput>,
  options: FromStepOptions = {},
): PromiseActorLogic<TOutput, TInput> {
  const { effect = true } = options
  return toStepLogic<TOutput, TInput>(
    (_input, { id, src }) => ({ kind: 'step', name: typeof src === 'string' ? src : id, effect }),
    async (input, { signal, key, attempt }) => execute({ input, signal, key, attempt }),
  )
}
