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
