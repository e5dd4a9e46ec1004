import { type DoubtPolicy, type OnDoubt, type Recovery, retryInDoubt } from '../actors/doubt.ts'
import { toRetryDelay } from '../actors/retry.ts'
import type { StepPolicy } from '../actors/step.ts'
import type { StepOptions } from './flow.ts'

const ways: readonly OnDoubt[] = ['retry', 'report', 'ask']

/** Errors: a `TypeError`. */
export function toStepPolicy<T>(step: string, options: StepOptions<T> = {}): StepPolicy<T> {
  if (typeof options !== 'object' || options === null)
    throw new TypeError(
      `Expected the options of step \`${step}\` to be an object, got \`${String(options)}\` (${typeof options})`,
    )
  const { recover, onDoubt = 'retry', retry, timeoutMs } = options
  if (recover !== undefined && typeof recover !== 'function')
    throw new TypeError(`Expected \`recover\` of step \`${step}\` to be a function, got ${typeof recover}`)
  if (!ways.includes(onDoubt))
    throw new TypeError(`Expected \`onDoubt\` of step \`${step}\` to be 'retry', 'report' or 'ask', got \`${String(onDoubt)}\``)
  if (timeoutMs !== undefined && !(Number.isFinite(timeoutMs) && timeoutMs > 0))
    throw new TypeError(
      `Expected \`timeoutMs\` of step \`${step}\` to be a finite number > 0, got \`${String(timeoutMs)}\` (${typeof timeoutMs})`,
    )
  const doubt: DoubtPolicy<T> = {
    ...retryInDoubt<T>(),
    onDoubt,
    recover:
      recover === undefined
        ? undefined
        : async ({ key, attempt, signal }): Promise<Recovery<T>> => recover({ key, attempt, signal }),
  }
  return { doubt, timeoutMs, retry: retry === undefined ? undefined : toRetryDelay(retry) }
}
