/**
 * What happened, for people and programs: the log, and a ledger of runs, turns and calls that is kept from events.
 *
 * @module perdure/observe
 */
export type { ErrorSummary } from './error-summary.ts'
export { createLedger, type Ledger, type LedgerOptions, type LedgerStore } from './ledger.ts'
export type { LedgerMachineCall } from './ledger-calls.ts'
export type { LedgerCall, LedgerCheckpoint, LedgerRun } from './ledger-run.ts'
export type { LedgerState } from './ledger-state.ts'
export type { LogFormat } from './log-format.ts'
export type { LogStream } from './log-output.ts'
export { toMermaid } from './mermaid.ts'
export { createReporter, type Reporter, type ReporterOptions } from './reporter.ts'
export { type StudioJson, toStudioJson } from './studio-json.ts'
