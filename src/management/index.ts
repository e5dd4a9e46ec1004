/**
 * What a person or a program outside of the app does to a store: list, look, answer, cancel, fork, and more, through the socket of the app that has it open.
 *
 * @module perdure/client
 */
export type {
  ActorReference,
  MachineDescription,
  StateDescription,
  TransitionDescription,
} from '../runtime/machine-description.ts'
export { type Connection, type ConnectOptions, connect } from './client.ts'
export type { DiskUsage } from './disk-usage.ts'
export type { Finding, FindingKind } from './finding.ts'
export type { Collected } from './gc.ts'
export type {
  CallNode,
  ErrorText,
  EventQuery,
  Management,
  RunDetails,
  RunQuery,
  RunSnapshot,
  RunSummary,
  StoreInfo,
  TranscriptMessage,
  TurnNode,
  UnreadableRun,
} from './management.ts'
export type { RecordCount, StoreStats } from './stats.ts'
