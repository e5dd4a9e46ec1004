/**
 * Durable agents, flows and machines: build an agent, open a runtime over a folder, run.
 *
 * @module perdure
 */
export { type AskHumanOptions, askHumanTool } from './actors/ask-human.ts'
export type { OnDoubt, Recovery } from './actors/doubt.ts'
export { type ExecOptions, execTool } from './actors/exec.ts'
export { type FromStepOptions, fromStep, type StepArguments } from './actors/from-step.ts'
export type { Model, ModelCallContext, ModelRequest, ModelSettings, ToolSchema } from './actors/model.ts'
export { type OpenAIModelOptions, openaiModel } from './actors/openai/model.ts'
export type { ModelPrice } from './actors/openai/prices.ts'
export { type ParsedProfile, Profile, parseProfile } from './actors/profile.ts'
export type { QuestionKind } from './actors/question.ts'
export type { RetryPolicy } from './actors/retry.ts'
export { sendToRun } from './actors/send-to-run.ts'
export { isSuspension } from './actors/suspension.ts'
export {
  type Tool,
  type ToolContext,
  type ToolDefinition,
  type ToolEffect,
  type ToolRecoveryContext,
  tool,
} from './actors/tool.ts'
export type { ToolResult } from './actors/tool-result.ts'
export { buildTools, type ToolboxOptions } from './actors/toolbox.ts'
export { isPerdureError, PerdureError, type PerdureErrorCode, type PerdureErrorOptions } from './errors.ts'
export {
  type AgentContext,
  type AgentEvent,
  type AgentInput,
  type AgentMachine,
  type AgentOutput,
  agentMachine,
} from './machines/agent.ts'
export type {
  AssistantMessage,
  Message,
  ModelAnswer,
  Spent,
  ToolCall,
  ToolMessage,
  Usage,
  UserMessage,
} from './machines/conversation.ts'
export type { Limits, ReachedLimit } from './machines/limits.ts'
export type { OpenLevelStoreOptions } from './persistence/leveldb.ts'
export type { Redact, TextPlace } from './persistence/redaction.ts'
export type { RetentionPolicy } from './persistence/retention.ts'
export type { DoubtResolution } from './persistence/run-record.ts'
export type { KeyRange, Operation, Store } from './persistence/store.ts'
export { type Agent, type AgentOptions, buildAgent } from './runtime/agent.ts'
export type { AgentToolOptions } from './runtime/agent-tool.ts'
export type { Clock } from './runtime/clock.ts'
export type { CheckpointStrategy } from './runtime/conversation.ts'
export { type DoctorOptions, type DoctorReport, type DoctorSummary, doctor } from './runtime/doctor.ts'
export type { DurableAgent, DurableOptions, Session, SessionTurnOptions } from './runtime/durable-agent.ts'
export type { ChangedPart, CheckpointReason, EventListener, Receipt, RuntimeEvent } from './runtime/events.ts'
export type {
  Flow,
  FlowBranch,
  FlowContext,
  FlowFunction,
  FlowOptions,
  FlowResults,
  FlowWaitOptions,
  SentEvent,
  StepFunctionContext,
  StepOptions,
} from './runtime/flow.ts'
export type { ForkOptions, ForkPoint } from './runtime/fork-options.ts'
export type { HandOutcome } from './runtime/hand-settlement.ts'
export type { IdlePolicy } from './runtime/idle.ts'
export type { InspectionObserver } from './runtime/inspection.ts'
export type { MachineEntry, MachineRegistration } from './runtime/machine-registry.ts'
export type { StartOptions } from './runtime/machines.ts'
export type { Migrate, PersistedSnapshot } from './runtime/migration.ts'
export { openRuntime, type RuntimeOptions, type RuntimeSettings } from './runtime/open.ts'
export type { Pending, PendingFilter } from './runtime/pending.ts'
export type { Run, SendOptions, WaitCondition, WaitOptions } from './runtime/run.ts'
export type { RunFilter, RunInfo } from './runtime/run-list.ts'
export type { Runtime } from './runtime/runtime.ts'
export type { Spend } from './runtime/spend.ts'
export type { ResolvedDoubt } from './runtime/step-execution.ts'
export type { StepInfo, StepStatus } from './runtime/step-list.ts'
export { openLevelStore, openMemoryStore } from './runtime/stores.ts'
export type { StreamChunk, StreamOptions } from './runtime/stream.ts'
export type { StreamPiece } from './runtime/stream-given.ts'
export type { TurnFunction, TurnOptions, TurnResult } from './runtime/turn.ts'
