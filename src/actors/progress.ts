/** What a model call tells while it runs. */
export type ModelProgress =
  | { readonly type: 'text'; readonly delta: string }
  | { readonly type: 'arguments'; readonly callId: string; readonly name: string; readonly delta: string }
  | { readonly type: 'retry'; readonly attempt: number; readonly delayMs: number; readonly error: Error }

/** What any other step tells. */
export interface StepProgress {
  readonly type: 'progress'
  readonly value: unknown
}

const types: readonly unknown[] = ['text', 'arguments', 'retry']

/** Tells a {@link ModelProgress} from what other steps report. */
export function isModelProgress(value: unknown): value is ModelProgress {
  return typeof value === 'object' && value !== null && 'type' in value && types.includes(value.type)
}

/** Tells a {@link StepProgress} from what other steps report. */
export function isStepProgress(value: unknown): value is StepProgress {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'progress'
}
