import { z } from 'zod'
import type { StepRecord } from '../persistence/run-log.ts'
import { Standing } from './attempt.ts'
import { Fingerprint, toHash } from './fingerprint.ts'
import { parseRecorded } from './recorded.ts'
import { NO_SPEND, Spend } from './spend.ts'

/** How a turn is recorded: as a step `turn/<number>` of its conversation, beside its calls `call/<number>.<version>/…`. */

const Data = z.object({
  ...Standing.shape,
  fingerprint: Fingerprint,
  /** How often the turn was started from its beginning; part of its calls' keys. */
  version: z.int(),
  /** How many messages came before the turn. */
  start: z.int(),
  /** What its caller named it, if anything. */
  id: z.string().optional(),
  /** What it has cost in all, whenever it was paid. While it is under way the head says it, for that is written at every commit anyway. */
  spend: Spend.optional(),
})
type TurnData = Readonly<z.output<typeof Data>>

const Value = z.object({ output: z.string() })
type TurnValue = Readonly<z.output<typeof Value>>

/** A recorded turn. */
export type RecordedTurn = Omit<TurnData, 'spend'> & {
  /** What it has cost in all, whenever it was paid. */
  readonly spend: Spend
  /** How often it was started or taken up again. */
  readonly tries: number
} & (
    | { readonly status: 'intended' }
    | ({ readonly status: 'ok' } & TurnValue)
    | { readonly status: 'error'; readonly error: unknown }
  )

/** Reads a turn from its step record. `underWay`: what the turn that is under way has cost, by the head of its run. Errors: `RUN_CORRUPT`. */
export function parseTurn(run: string, record: StepRecord, underWay: Spend = NO_SPEND): RecordedTurn {
  const what = `record of turn \`${record.name}\``
  const data = parseRecorded(Data, record.data, run, what)
  const common = { ...data, spend: data.spend ?? underWay, tries: record.attempt }
  if (record.status === 'error') return { ...common, status: 'error', error: record.error }
  return record.status === 'ok'
    ? { ...common, status: 'ok', ...parseRecorded(Value, record.value, run, what) }
    : { ...common, status: 'intended' }
}

const pad = (turn: number): string => String(turn).padStart(6, '0')

/** Where the number of a turn is that its caller named. */
export const idKey = (id: string, hashKey: Uint8Array | undefined): string => `id/${toHash(id, hashKey)}`
export const turnKey = (turn: number): string => `turn/${pad(turn)}`
/** What the machine names the turn in its calls' keys. */
export const versionKey = (turn: number, version: number): string => `${pad(turn)}.${version}`
export const callPrefix = (turn: number, version: number): string => `call/${versionKey(turn, version)}/`
/** The number of the turn that a step belongs to; 0 for other steps. */
export const turnOf = (key: string): number => Number(/^(?:turn|call)\/(\d+)/.exec(key)?.[1] ?? 0)
