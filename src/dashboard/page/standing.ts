/** Where a run stands, in one word for a badge. */
import type { RunSummary, UnreadableRun } from '../../management/management.ts'
import type { StepStatus } from '../../runtime/step-list.ts'

export type Run = RunSummary | UnreadableRun
export const isReadable = (run: Run): run is RunSummary => run.status !== 'unreadable'

export const standings = ['asks', 'waiting', 'running', 'completed', 'failed', 'cancelled', 'incompatible', 'unreadable'] as const
/** `asks`: it waits for a person. */
export type Standing = (typeof standings)[number]

export const standingNames: Readonly<Record<Standing, string>> = {
  asks: 'waits for you',
  waiting: 'waiting',
  running: 'running',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'cancelled',
  incompatible: 'incompatible',
  unreadable: 'unreadable',
}

export function toStanding(run: Run): Standing {
  if (run.status === 'unreadable') return 'unreadable'
  if (run.pending > 0) return 'asks'
  if (run.status === 'running' && run.waitsFor !== undefined) return 'waiting'
  return run.status
}

/** Where a call stands, in words. */
export const callNames: Readonly<Record<StepStatus, string>> = {
  running: 'running',
  retrying: 'tries again',
  waiting: 'waiting',
  inDoubt: 'in doubt',
  ok: 'done',
  error: 'failed',
}
