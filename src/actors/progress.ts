/** What a model call tells while it runs. */
export type ModelProgress =
  | { readonly type: 'text'; readonly delta: string }
  | { readonly type: 'retry'; readonly attempt: number; readonly delayMs: number; readonly error: Error }

/** Tells a {@link ModelProgress} from what other steps report. */
export function isModelProgress(value: unknown): value is ModelProgress {
  return typeof value === 'object' && value !== null && 'type' in value && (value.type === 'text' || value.type === 'retry')
}
