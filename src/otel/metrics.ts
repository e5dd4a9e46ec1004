import { type Attributes, type MeterProvider, metrics, ValueType } from '@opentelemetry/api'
import type { CommitFacts } from '../persistence/commit.ts'
import type { RuntimeEvent } from '../runtime/events.ts'
import { type Spend, toLostSpend } from '../runtime/spend.ts'
import { toErrorType, toOperation } from './attributes.ts'

/** Counts what a runtime does. */
export interface Meters {
  readonly hear: (event: RuntimeEvent) => void
  readonly commit: (facts: CommitFacts) => void
}

const tokenBuckets = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304]
const secondBuckets = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const commitSecondBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1]
const byteBuckets = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216]

/** `meterProvider`: default, the global one. */
export function createMeters(meterProvider: MeterProvider | undefined): Meters {
  const meter = (meterProvider ?? metrics).getMeter('perdure')
  const histogram = (name: string, unit: string, description: string, explicitBucketBoundaries: number[]) =>
    meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries } })
  const counter = (name: string, unit: string, description: string, valueType = ValueType.INT) =>
    meter.createCounter(name, { unit, description, valueType })

  const tokens = histogram('gen_ai.client.token.usage', '{token}', 'Tokens of a model call', tokenBuckets)
  const durations = histogram('gen_ai.client.operation.duration', 's', 'Duration of a call or a turn', secondBuckets)
  const calls = counter('perdure.calls', '{call}', 'Calls that settled')
  const cost = counter('perdure.cost', 'USD', 'Cost of model calls whose price is known', ValueType.DOUBLE)
  const unpriced = counter('perdure.calls.unpriced', '{call}', 'Model calls without a known price')
  const reused = counter('perdure.reused.calls', '{call}', 'Calls returned from the store')
  const saved = counter('perdure.reused.cost', 'USD', 'Cost that was not paid again', ValueType.DOUBLE)
  const doubts = counter('perdure.in_doubt', '{call}', 'Calls that were in doubt, by what was done about it')
  const commitSize = histogram('perdure.commit.size', 'By', 'Bytes of a commit', byteBuckets)
  const commitOperations = histogram('perdure.commit.operations', '{operation}', 'Changes of a commit', tokenBuckets)
  const commitDuration = histogram('perdure.commit.duration', 's', 'Duration of a commit', commitSecondBuckets)

  /** When the calls under way began, and whose model they ask. */
  const open = new Map<string, { readonly startedAt: number; readonly provider: string | undefined }>()

  const pay = (about: Attributes, { modelCalls, inputTokens, outputTokens, costUsd, unpricedCalls }: Spend): void => {
    if (modelCalls === 0) return
    tokens.record(inputTokens, { ...about, 'gen_ai.token.type': 'input' })
    tokens.record(outputTokens, { ...about, 'gen_ai.token.type': 'output' })
    if (costUsd > 0) cost.add(costUsd, about)
    if (unpricedCalls > 0) unpriced.add(unpricedCalls, about)
  }
  const reuse = (spend: Spend): void => {
    if (spend.modelCalls > 0) reused.add(spend.modelCalls, { 'gen_ai.operation.name': 'chat' })
    if (spend.toolCalls > 0) reused.add(spend.toolCalls, { 'gen_ai.operation.name': 'execute_tool' })
    if (spend.costUsd > 0) saved.add(spend.costUsd)
  }
  const toAbout = ({ kind, name }: { kind: string; name: string }, provider: string | undefined): Attributes => ({
    'gen_ai.operation.name': toOperation(kind),
    ...(kind === 'model'
      ? { 'gen_ai.request.model': name, 'gen_ai.provider.name': provider }
      : { [kind === 'tool' ? 'gen_ai.tool.name' : 'perdure.step.name']: name }),
  })
  const doubt = (call: { kind: string; name: string }, resolution: string): void =>
    doubts.add(1, { ...toAbout(call, undefined), 'perdure.resolution': resolution })

  const hear = (event: RuntimeEvent): void => {
    switch (event.type) {
      case 'call.recovering':
      case 'call.started':
        open.set(toPlace(event), { startedAt: event.time, provider: event.provider })
        if (event.type === 'call.started' && event.inDoubt) doubt(event, 'retried')
        return
      case 'call.retried':
        // What a failed attempt was billed is in no other event.
        if (event.kind === 'model') pay(toAbout(event, open.get(toPlace(event))?.provider), toLostSpend(event.error))
        return
      case 'call.settled': {
        const { startedAt = event.time, provider } = open.get(toPlace(event)) ?? {}
        open.delete(toPlace(event))
        const type = event.status === 'error' ? toErrorType(event.error) : event.isToolError ? 'tool_error' : undefined
        const model = event.answered === undefined ? {} : { 'gen_ai.response.model': event.answered.model }
        const about = { ...toAbout(event, provider), ...model }
        const ended = { ...about, ...(type === undefined ? {} : { 'error.type': type }) }
        durations.record((event.time - startedAt) / 1_000, ended)
        calls.add(1, ended)
        if (event.kind === 'model') pay(about, event.spent) // of a tool it is what agents paid that worked for it: theirs
        const { resolution } = event
        if (resolution !== undefined && resolution !== 'retried') doubt(event, resolution)
        return
      }
      case 'call.reused':
        // Of a turn's calls its end tells.
        if (event.checkpoint === '') reused.add(1, { 'gen_ai.operation.name': toOperation(event.kind) })
        return
      case 'checkpoint.reused':
        reuse(event.reused)
        return
      case 'checkpoint.finished':
      case 'checkpoint.failed': {
        if (event.type === 'checkpoint.finished') reuse(event.reused)
        if (event.kind !== 'turn') return
        const type = event.type === 'checkpoint.failed' ? { 'error.type': toErrorType(event.error) } : {}
        durations.record(event.durationMs / 1_000, { 'gen_ai.operation.name': 'invoke_agent', ...type })
        return
      }
    }
  }

  return {
    hear,
    commit({ bytes, operations, durationMs }) {
      commitSize.record(bytes)
      commitOperations.record(operations)
      commitDuration.record(durationMs / 1_000)
    },
  }
}

const toPlace = ({ runId, key }: { readonly runId: string; readonly key: string }): string => `${runId}#${key}`
