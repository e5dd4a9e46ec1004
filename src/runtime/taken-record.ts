import type { EventObject, StateValue } from 'xstate'
import { z } from 'zod'
import type { StepOutcome } from '../actors/step.ts'
import type { StepRecord } from '../persistence/run-record.ts'
import type { StoredTimer } from './durable-timers.ts'
import { parseRecorded } from './recorded.ts'

/** Where the records of what was taken are among the steps. */
export const TAKEN_KEYS = 'machine/taken/'
/** Names the record of what was taken as `n`-th, from 0. */
export const takenKey = (n: number): string => `${TAKEN_KEYS}${String(n).padStart(9, '0')}`
/** Their `kind`: they are none of the steps that anybody asked for. */
export const TAKEN = 'taken'

/** What the actors of a machine's run took from outside. They are named by their path: child ids from the root down; `[]` is the root. */
export type TakenInput =
  /** The run began. Its input is beside it. */
  | { readonly name: 'start' }
  /** An event was sent: by `run.send`, by another run, or by code that knows one of the actors. Without `target`, to the root. */
  | { readonly name: 'event'; readonly event: EventObject; readonly target?: readonly string[] | undefined }
  /** A delayed event of that type came. */
  | { readonly name: 'timer'; readonly type: string; readonly source: readonly string[]; readonly dueAt: number }
  /** A step settled: as its record says, unless `outcome` is there. `input`: a hash of what it was given. */
  | {
      readonly name: 'step'
      readonly key: string
      readonly input?: string | undefined
      readonly outcome?: StepOutcome<unknown> | undefined
    }
  /** A promise, callback or observable told something: itself, or its parent. */
  | { readonly name: 'actor'; readonly source: readonly string[]; readonly isParent: boolean; readonly event: EventObject }
  /** Something that cannot be stored. */
  | { readonly name: 'lost'; readonly why: string }

/** What is known of a machine after something was taken. */
export interface TakenResult {
  /** The state value that it led to, if that is another. */
  readonly state?: StateValue | undefined
  /** How many delayed events are pending then, and when the next is due, if that is another. */
  readonly timers?: PendingTimers | undefined
  /** It was taken in one stretch with the next one: only that one tells the result. */
  readonly isJoined?: true | undefined
}

export type Taken = TakenInput & TakenResult

export type PendingTimers = readonly [count: number, nextAt: number | undefined]

/** When it is due in a replay, which takes no time over anything. */
export const toReplayedDueAt = ({ dueAt, lagMs = 0 }: StoredTimer): number => dueAt - lagMs

export const toPendingTimers = (pending: readonly StoredTimer[]): PendingTimers => [
  pending.length,
  pending.length === 0 ? undefined : Math.min(...pending.map(toReplayedDueAt)),
]

const Path = z.array(z.string())
const Event = z.looseObject({ type: z.string() })
const State: z.ZodType<StateValue> = z.lazy(() => z.union([z.string(), z.record(z.string(), State)]))
const result = {
  state: State.optional(),
  timers: z.tuple([z.number(), z.number().optional()]).optional(),
  isJoined: z.literal(true).optional(),
}
const Outcome = z.union([
  z.object({ status: z.literal('ok'), value: z.unknown() }),
  z.object({ status: z.literal('error'), error: z.unknown() }),
])
const TakenSchema = z.discriminatedUnion('name', [
  z.object({ name: z.literal('start'), ...result }),
  z.object({ name: z.literal('event'), event: Event, target: Path.optional(), ...result }),
  z.object({ name: z.literal('timer'), type: z.string(), source: Path, dueAt: z.number(), ...result }),
  z.object({ name: z.literal('step'), key: z.string(), input: z.string().optional(), outcome: Outcome.optional(), ...result }),
  z.object({ name: z.literal('actor'), source: Path, isParent: z.boolean(), event: Event, ...result }),
  z.object({ name: z.literal('lost'), why: z.string(), ...result }),
])

export function toTakenRecord({ name, ...value }: Taken, startedAt: number): StepRecord {
  return { kind: TAKEN, name, status: 'ok', attempt: 1, startedAt, value }
}

/** What {@link toTakenRecord} was given. Errors: `RUN_CORRUPT`. */
export function parseTaken(run: string, { name, value }: StepRecord): Taken {
  const fields = typeof value === 'object' ? value : undefined
  return parseRecorded(TakenSchema, { ...fields, name }, run, 'record of what it took') as Taken // the schema names every field
}
