export { type Connection, type ConnectOptions, connect } from './client.ts'
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
