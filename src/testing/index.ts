/**
 * For tests of agents, machines and stores: scripted models, a model server, a clock, deaths at every write.
 *
 * @module perdure/testing
 */
export type { ExpectReplayOptions, ReplayedFile } from './expect-replay.ts'
export { expectReplay } from './expect-replay.ts'
export { type ExploreOptions, exploreCrashes } from './explore/explore-crashes.ts'
export type { Outside } from './explore/outside.ts'
export type { CrashFailure, CrashReport } from './explore/report.ts'
export type { CrashLife, CrashRuntimeOptions, CrashSubject } from './explore/subject.ts'
export type { ActorOutcome, ModelReport, TestModel, TestModelOptions, TestModelPath } from './model/test-model.ts'
export { createTestModel, testModel } from './model/test-model.ts'
export { toConversationKey } from './openai/conversation-key.ts'
export type { LedgerLine, ServerFetch, ServerRejection, ServerRequest } from './openai/ledger.ts'
export { readLedger } from './openai/ledger.ts'
export type { OpenAIServer, OpenAIServerOptions } from './openai/server.ts'
export { openaiServer } from './openai/server.ts'
export type { Sleep } from './pause.ts'
export type { Fault, Script, ScriptedAnswer, ScriptedCall } from './script.ts'
export type { ScriptedModel, ScriptedModelOptions } from './scripted-model.ts'
export { scriptedModel } from './scripted-model.ts'
export type { StoreContractOptions } from './store-contract.ts'
export { storeContract } from './store-contract.ts'
export type { TestClock, TestClockOptions } from './test-clock.ts'
export { testClock } from './test-clock.ts'
export type { TestRunner } from './test-runner.ts'
