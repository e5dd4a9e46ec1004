/**
 * Recorded runs played with the code of today, and two runs compared: without a key, a network or an effect.
 *
 * @module perdure/replay
 */
export type {
  CallDiff,
  CallFigures,
  DiffPart,
  Pair,
  RunDiff,
  RunFigures,
  TurnDiff,
  TurnFigures,
} from './diff-runs.ts'
export { diffRuns } from './diff-runs.ts'
export type { Divergence, ReplayPart } from './divergence.ts'
export type { DiffFormat } from './format-diff.ts'
export { formatDiff } from './format-diff.ts'
export type { MachineRecording, MachineState, TakenRecording } from './machine-recording.ts'
export { readExport } from './read-export.ts'
export type { RecordedCall } from './recorded-call.ts'
export type { RunRecording, TurnRecording } from './recording.ts'
export { readRecording } from './recording.ts'
export type { ReplayResult } from './replay-conversation.ts'
export type { ReplayOptions } from './replay-run.ts'
export { replayRun } from './replay-run.ts'
