import { stepRange, toStep } from '../persistence/keys.ts'
import { loadHead } from '../persistence/run-log.ts'
import { type DoubtResolution, parseStep, type StepRecord } from '../persistence/run-record.ts'
import { isQuestion } from './questions.ts'
import { toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'
import { TAKEN } from './taken-record.ts'

/**
 * Where a step stands. `running`: this process executes it. `retrying`: it failed, and its next attempt has a time. `waiting`: for a person, an event or a time. `inDoubt`: it may have had
 * its effect, and nobody knows: its process ended, or it was ended, while it ran. `ok`, `error`: it happened, and this is what it came to.
 */
export type StepStatus = 'running' | 'retrying' | 'waiting' | 'inDoubt' | 'ok' | 'error'

/** A step of a run, as its journal has it. */
export interface StepInfo {
  readonly runId: string
  /** Names the step in its run. */
  readonly key: string
  /** `model`, `tool`, `step`, `turn`, `approval`, `question`, … */
  readonly kind: string
  readonly name: string
  readonly status: StepStatus
  /** How often it was started. */
  readonly attempt: number
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  /** When its next attempt is due. */
  readonly retryAt: number | undefined
  /** What was noted to find its effect again, such as the id of a response. */
  readonly noted: unknown
  /** What was done about it when it was in doubt. */
  readonly resolution: DoubtResolution | undefined
  readonly value: unknown
  readonly error: unknown
}

/** The steps of a run by their keys, without loading the run. Errors: `RUN_NOT_FOUND`, `RUN_CORRUPT`. */
export async function* listSteps(services: Services, runId: string): AsyncIterable<StepInfo> {
  const head = await loadHead(services.store, runId)
  if (head === undefined) throw toNotFound(runId)
  for await (const [key, bytes] of services.store.entries(stepRange(runId))) {
    const record = parseStep(runId, key, bytes)
    const step = toStep(runId, key)
    if (notSteps.has(record.kind) || step === 'machine/input' || step.startsWith('flow/')) continue
    const isRunning = services.running.has(`${runId}#${step}`)
    yield toInfo(runId, step, record, isRunning)
  }
}

/** Steps of flows that only wait. */
const waits: ReadonlySet<string> = new Set(['sleep', 'wait'])

/** What is kept among the steps and is none. */
const notSteps: ReadonlySet<string> = new Set(['id', TAKEN])

function toInfo(runId: string, key: string, record: StepRecord, isRunning: boolean): StepInfo {
  const { kind, name, attempt, startedAt, endedAt, retryAt, noted, resolution, value, error } = record
  const status = toStatus(record, isRunning)
  return { runId, key, kind, name, status, attempt, startedAt, endedAt, retryAt, noted, resolution, value, error }
}

function toStatus(record: StepRecord, isRunning: boolean): StepStatus {
  if (record.status === 'ok') return 'ok'
  if (record.aborted === true) return 'inDoubt'
  if (record.status === 'error') return 'error'
  if (isQuestion(record) || waits.has(record.kind)) return 'waiting'
  if (record.retryAt !== undefined) return 'retrying'
  return isRunning ? 'running' : 'inDoubt'
}
