import { fromCallData } from '../actors/tool-message.ts'
import type { DoubtResolution, StepRecord } from '../persistence/run-record.ts'
import { type Spend, toSpend } from '../runtime/spend.ts'

/** A step as it was recorded: a model request, a tool call, a step of a flow or a machine, a question. */
export interface RecordedCall {
  /** Names it within its run. */
  readonly key: string
  /** Names it within its turn, whichever version of that it is: `m001`, `m001/<call id>`, … Of a flow or machine: the key. */
  readonly place: string
  /** `model`, `tool`, `step`, `approval`, `question`, `limit`, `sleep`, … */
  readonly kind: string
  readonly name: string
  /** `aborted`: it was ended on purpose, and nobody waited for what it came to. */
  readonly status: 'ok' | 'error' | 'intended' | 'aborted'
  /** How often it was executed. */
  readonly attempt: number
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt: number | undefined
  readonly resolution: DoubtResolution | undefined
  /** Of a tool call: the text of its arguments. */
  readonly arguments: string | undefined
  /** Of a model request: how many messages it was given. */
  readonly messages: number | undefined
  readonly value: unknown
  readonly error: unknown
  readonly spend: Spend
  readonly record: StepRecord
}

export function toCall(key: string, place: string, record: StepRecord): RecordedCall {
  const { kind, name, attempt, startedAt, endedAt, resolution, value, error, data } = record
  return {
    key,
    place,
    kind,
    name,
    status: record.aborted === true ? 'aborted' : record.status,
    attempt,
    startedAt,
    endedAt,
    resolution,
    arguments: kind === 'tool' ? fromCallData(name, data).arguments : undefined,
    messages: readMessageCount(data),
    value,
    error,
    spend: toSpend(record),
    record,
  }
}

function readMessageCount(data: unknown): number | undefined {
  const count = typeof data === 'object' && data !== null && 'messages' in data ? data.messages : undefined
  return typeof count === 'number' ? count : undefined
}
