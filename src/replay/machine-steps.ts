import { isDeepStrictEqual } from 'node:util'
import { directHost } from '../actors/direct-host.ts'
import type { Question } from '../actors/question.ts'
import type { StepContext, StepDescription, StepHost, StepOutcome, StepPolicy } from '../actors/step.ts'
import type { ReplayPart } from './divergence.ts'
import type { RecordedCall } from './recorded-call.ts'

/** A step that was asked for and has not settled. */
interface AskedStep {
  readonly step: StepDescription
  readonly settle: (outcome: StepOutcome<never>) => void
}

export interface StepJudge {
  /** It is not in the recording. False: it is not executed either. */
  readonly onMissing: (step: StepDescription, isQuestion: boolean) => boolean
  /** It is asked for in another way than was recorded. */
  readonly onChanged: (step: StepDescription, changed: readonly ReplayPart[], recorded: unknown, replayed: unknown) => void
  /** A step that is not in the recording was executed. `settle` hands on what it came to. */
  readonly onLive: (executed: Promise<() => void>) => void
}

/** Takes the place of the host of a run's steps: they wait until the recording says that they have settled. */
export interface ReplayedSteps extends Pick<StepHost, 'run' | 'ask'> {
  /** Those that wait, by key. */
  readonly waiting: ReadonlyMap<string, AskedStep>
  /** The keys of all that were asked for. */
  readonly asked: ReadonlySet<string>
  /** The step under `key` is to settle: it waits no longer. */
  take(key: string): AskedStep | undefined
}

export function createReplayedSteps(recorded: readonly RecordedCall[], judge: StepJudge): ReplayedSteps {
  const waiting = new Map<string, AskedStep>()
  const asked = new Set<string>()

  /** An encrypted store has a hash of its own in the keys of approvals. */
  const find = ({ key, kind }: StepDescription): RecordedCall | undefined =>
    recorded.find((call) => call.key === key) ??
    recorded.find(
      (call) => kind === 'approval' && call.kind === kind && toCallKey(call.key) === toCallKey(key) && !asked.has(call.key),
    )
  const wait = (found: RecordedCall, changed: Changed | undefined, one: AskedStep, signal: AbortSignal): void => {
    const { key } = found
    const { step } = one
    asked.add(key)
    waiting.set(key, one)
    signal.addEventListener('abort', () => void (waiting.get(key) === one && waiting.delete(key)), { once: true })
    if (changed !== undefined) judge.onChanged(step, changed.parts, changed.recorded, changed.replayed)
  }

  return {
    waiting,
    asked,
    take(key) {
      const one = waiting.get(key)
      waiting.delete(key)
      return one
    },
    run<T>(
      step: StepDescription,
      execute: (context: StepContext) => Promise<T>,
      settle: (outcome: StepOutcome<T>) => void,
      signal: AbortSignal,
      policy: StepPolicy<T>,
    ) {
      const found = find(step)
      const { promise, resolve } = Promise.withResolvers<() => void>()
      if (found !== undefined) wait(found, findChange(step, found), { step, settle }, signal)
      else if (judge.onMissing(step, false)) {
        judge.onLive(promise)
        directHost.run(step, execute, (outcome) => resolve(() => settle(outcome)), signal, policy)
      }
    },
    ask<T>(step: StepDescription, question: Question<T>, settle: (outcome: StepOutcome<T>) => void, signal: AbortSignal) {
      const found = find(step)
      if (found === undefined) judge.onMissing(step, true)
      else wait(found, findQuestionChange(question, found), { step, settle }, signal)
    },
  }
}

interface Changed {
  readonly parts: readonly ReplayPart[]
  readonly recorded: unknown
  readonly replayed: unknown
}

/** What a step is asked with is in its record as far as its kind keeps it. */
function findChange({ kind, name, data }: StepDescription, { record }: RecordedCall): Changed | undefined {
  if (kind !== record.kind || name !== record.name)
    return { parts: ['name'], recorded: `${record.kind} ${record.name}`, replayed: `${kind} ${name}` }
  if (isDeepStrictEqual(toData(data), toData(record.data))) return undefined
  return { parts: [kind === 'model' ? 'earlier result' : 'arguments'], recorded: record.data, replayed: data }
}

function findQuestionChange({ kind, text }: Question<unknown>, { record }: RecordedCall): Changed | undefined {
  const { text: before } = Object(record.data) as { readonly text?: unknown }
  if (kind === record.kind && text === before) return undefined
  return { parts: ['prompt'], recorded: before, replayed: text }
}

/** Fields without a value are not recorded. */
const toData = (data: unknown): unknown =>
  typeof data === 'object' && data !== null
    ? Object.fromEntries(Object.entries(data).filter(([, value]) => value !== undefined))
    : data

const toCallKey = (key: string): string => key.slice(0, key.lastIndexOf('/'))
