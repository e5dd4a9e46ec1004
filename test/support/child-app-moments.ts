/** When the program of `child-app.ts` kills itself. */
export const childMoments = [
  'in the model call of the grandchild',
  'in the tool of the grandchild',
  'when the grandchild has ended',
  'in the model call of the child',
  'when the child has ended',
  'when the parent has the answer',
] as const
export type ChildMoment = (typeof childMoments)[number]

/** What it says when it has come to its end. */
export interface ChildAppReport {
  readonly said: string
  /** What the turn has cost in all, over both lives. */
  readonly spent: { readonly modelCalls: number; readonly toolCalls: number }
  /** The turns that ended in this process, with the model calls that were paid in it and those that were taken from the store. */
  readonly finished: readonly (readonly [runId: string, paid: number, reused: number])[]
  /** What was in doubt in the turn of the boss, and what was done about it. */
  readonly doubts: readonly string[]
}
