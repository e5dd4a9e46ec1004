import { z } from 'zod'
import { isPerdureError } from '../errors.ts'
import type { ChildSpent, ModelAnswer, Spent } from '../machines/conversation.ts'
import type { StepRecord } from '../persistence/run-log.ts'

const SpendObject = z.object({
  modelCalls: z.number(),
  toolCalls: z.number(),
  inputTokens: z.number(),
  outputTokens: z.number(),
  cachedInputTokens: z.number(),
  reasoningTokens: z.number(),
  /** US dollars of the calls whose price is known. */
  costUsd: z.number(),
  /** How many model calls have no known price: they are not in `costUsd`. */
  unpricedCalls: z.number(),
  /** Milliseconds of model and tool calls, added up. */
  durationMs: z.number(),
})
/** What calls cost. */
export type Spend = Readonly<z.output<typeof SpendObject>>

export const NO_SPEND: Spend = {
  modelCalls: 0,
  toolCalls: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedInputTokens: 0,
  reasoningTokens: 0,
  costUsd: 0,
  unpricedCalls: 0,
  durationMs: 0,
}

const SPEND_KEYS = Object.keys(NO_SPEND) as readonly (keyof Spend)[] // it has them all

/** What calls cost, as records have it: by name, or the numbers alone in the order of `NO_SPEND`, as `toStoredSpend` gives them. */
export const Spend = z.union([
  z
    .array(z.number())
    .transform((numbers): Spend => Object.fromEntries(SPEND_KEYS.map((key, index) => [key, numbers[index] ?? 0])) as Spend), // same keys
  SpendObject,
])

/** The numbers of a spend: the names would be most of a record that is written at every commit. */
export const toStoredSpend = (spend: Spend): readonly number[] => SPEND_KEYS.map((key) => spend[key])

/** `a` and `factor` times `b`. Written out: it is done several times for each call. */
const combine = (a: Spend, b: Spend, factor: 1 | -1): Spend => ({
  modelCalls: a.modelCalls + factor * b.modelCalls,
  toolCalls: a.toolCalls + factor * b.toolCalls,
  inputTokens: a.inputTokens + factor * b.inputTokens,
  outputTokens: a.outputTokens + factor * b.outputTokens,
  cachedInputTokens: a.cachedInputTokens + factor * b.cachedInputTokens,
  reasoningTokens: a.reasoningTokens + factor * b.reasoningTokens,
  costUsd: a.costUsd + factor * b.costUsd,
  unpricedCalls: a.unpricedCalls + factor * b.unpricedCalls,
  durationMs: a.durationMs + factor * b.durationMs,
})

export const addSpend = (a: Spend, b: Spend): Spend => combine(a, b, 1)

/** What `a` is more than `b`. */
export const subtractSpend = (a: Spend, b: Spend): Spend => combine(a, b, -1)

/** What of a head tells what its run has cost. */
interface Costs {
  readonly spend?: Spend | undefined
  /** What of it agents paid that work for its calls: it is in their heads too. */
  readonly childSpend?: Spend | undefined
}

export function countSpend(
  { spend = NO_SPEND, childSpend }: Costs,
  more: Spend,
  children: Spend,
): { spend: Spend; childSpend?: Spend } {
  const counted = { spend: addSpend(spend, more) }
  const isOwn = children.modelCalls === 0 && children.toolCalls === 0
  return isOwn ? counted : { ...counted, childSpend: addSpend(childSpend ?? NO_SPEND, children) }
}

/** What a run paid itself, without the agents that work for it. */
export const toOwnSpend = ({ spend = NO_SPEND, childSpend = NO_SPEND }: Costs): Spend => subtractSpend(spend, childSpend)

/** What one settled call cost; nothing while it is open. */
export function toSpend(record: StepRecord): Spend {
  if (record.status === 'intended') return NO_SPEND
  const durationMs = Math.max(0, (record.endedAt ?? record.startedAt) - record.startedAt)
  if (record.kind === 'tool') return addSpend({ ...NO_SPEND, toolCalls: 1, durationMs }, toChildSpend(record))
  if (waits.includes(record.kind)) return NO_SPEND
  if (record.kind !== 'model') return { ...NO_SPEND, durationMs }
  if (record.status === 'error') return { ...toLostSpend(record.error), durationMs }
  const { usage, costUsd, lost } = record.value as ModelAnswer // the model actor's output
  const spend: Spend = {
    ...NO_SPEND,
    ...usage,
    modelCalls: 1,
    costUsd: costUsd ?? 0,
    unpricedCalls: costUsd === undefined ? 1 : 0,
    durationMs,
  }
  if (lost === undefined) return spend
  // What was lost in a crash is an estimate of the requests alone: what the answers cost is not known.
  const { calls, inputTokens } = lost
  return addSpend(spend, { ...NO_SPEND, modelCalls: calls, inputTokens, costUsd: lost.costUsd ?? 0, unpricedCalls: calls })
}

const ChildRecord = z.object({
  steps: z.number(),
  inputTokens: z.number(),
  outputTokens: z.number(),
  cachedInputTokens: z.number(),
  reasoningTokens: z.number(),
  costUsd: z.number(),
  unpricedCalls: z.number(),
  toolCalls: z.number(),
})

/** What the agents used that worked for a tool call: its result says so, or the error that it was ended with. */
export function toChildSpend({ value, error }: Pick<StepRecord, 'value' | 'error'>): Spend {
  const { spent } = (isPerdureError(error) ? error.details : (value ?? {})) as { readonly spent?: unknown } // checked below
  const parsed = spent === undefined ? undefined : ChildRecord.safeParse(spent)
  if (parsed?.success !== true) return NO_SPEND
  const { steps, ...rest } = parsed.data
  return { ...NO_SPEND, ...rest, modelCalls: steps }
}

/** What agents cost that worked for a call, as it is recorded with that. */
export const toChildSpent = ({ modelCalls, durationMs: _, ...spend }: Spend): ChildSpent => ({
  ...spend,
  steps: modelCalls,
  tokens: spend.inputTokens + spend.outputTokens,
})

/** What counts against limits. */
export const toSpentBefore = ({ modelCalls, inputTokens, outputTokens, costUsd, unpricedCalls }: Spend): Spent => ({
  steps: modelCalls,
  tokens: inputTokens + outputTokens,
  costUsd,
  unpricedCalls,
})

/** Kinds of steps that only wait for a person. */
const waits: readonly string[] = ['approval', 'question', 'doubt', 'limit']

const Lost = z.object({
  details: z.object({
    usage: z.object({
      inputTokens: z.number(),
      outputTokens: z.number(),
      cachedInputTokens: z.number(),
      reasoningTokens: z.number(),
    }),
    costUsd: z.number().optional(),
  }),
})

/** What an attempt that failed was billed all the same, where its error says so (P12). */
export function toLostSpend(error: unknown): Spend {
  const lost = Lost.safeParse(error)
  if (!lost.success) return NO_SPEND
  const { usage, costUsd } = lost.data.details
  return { ...NO_SPEND, ...usage, modelCalls: 1, costUsd: costUsd ?? 0, unpricedCalls: costUsd === undefined ? 1 : 0 }
}

export const sumSpend = (records: Iterable<StepRecord>): Spend => [...records].map(toSpend).reduce(addSpend, NO_SPEND)
