import { executeAttempt as execute } from '../actors/attempt.ts'
import type { StepOutcome, StepPolicy } from '../actors/step.ts'
import type { Services } from './services.ts'
import { waitUntil } from './wait-until.ts'

/** One attempt at a step within its time limit, by the runtime's clock: see `executeAttempt` of the actors. */
export const executeAttempt = <T>(
  { timers }: Pick<Services, 'timers'>,
  signal: AbortSignal,
  policy: StepPolicy<T>,
  attempt: (signal: AbortSignal) => Promise<StepOutcome<T>>,
): Promise<StepOutcome<T>> => execute((ms, until) => waitUntil(timers, timers.now() + ms, until), signal, policy, attempt)
