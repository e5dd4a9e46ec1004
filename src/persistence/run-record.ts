import { z } from 'zod'
import { isPerdureError, PerdureError } from '../errors.ts'
import { decodeRecord } from './codec.ts'

/**
 * One step of the journal. `intended`: it may have started and its outcome is not recorded (P3); `ok` and `error`: it has settled.
 * Times are epoch milliseconds.
 */
export interface StepRecord {
  readonly kind: string
  readonly name: string
  readonly status: 'intended' | 'ok' | 'error'
  /** How often it was started, counted from 1. */
  readonly attempt: number
  readonly startedAt: number
  readonly endedAt?: number | undefined
  /** The attempt failed, and the next one is due at that time. */
  readonly retryAt?: number | undefined
  /** What was noted of the attempt, to find its effect again. */
  readonly noted?: unknown
  /** How many attempts were cut off and came to nothing that is known. */
  readonly doubted?: number | undefined
  /** What was done about the last attempt that was in doubt. */
  readonly resolution?: DoubtResolution | undefined
  /** The step was ended on purpose while it ran: whether it had its effect is not known. */
  readonly aborted?: boolean | undefined
  /** What the step was to do, as far as recovery and comparison need it. */
  readonly data?: unknown
  /** The result of a step that is `ok`. */
  readonly value?: unknown
  /** The error of a step that is `error`. */
  readonly error?: unknown
}

/**
 * What was done about a step in doubt. `retried`: executed again with the same key. `recovered`: the outside world told its outcome. `reported`:
 * settled with a report that its outcome is not known. `answered`: a person said what its outcome was.
 */
export type DoubtResolution = 'retried' | 'recovered' | 'reported' | 'answered'

/**
 * `running`: it takes events. `completed`, `failed`, `cancelled`: it came to its end. `incompatible`: its machine was changed, and it waits for
 * one that has what it needs (P10).
 */
export type RunStatus = 'running' | 'completed' | 'failed' | 'cancelled' | 'incompatible'

/** Where the chain of a run's snapshot ends: kept in its head, so that a lost end is noticed too. */
export interface ChainEnd {
  readonly seq: number
  readonly checksum: number
  /** The number of its base, if that stands among the deltas: others needed the records before it. */
  readonly base?: number | undefined
  /** The whole snapshot, when it is small: then there is no chain. */
  readonly inline?: Uint8Array | undefined
}

export interface Head {
  readonly id: string
  readonly kind: string
  /** The name of the flow or agent. */
  readonly name: string
  readonly status: RunStatus
  readonly createdAt: number
  readonly updatedAt: number
  /** When the run has to be activated by itself: 0 at once, else at that time. Indexed. */
  readonly wakeAt?: number | undefined
  /** When the run came to its end. Indexed. */
  readonly endedAt?: number | undefined
  /** It was imported, and is left alone until somebody asks for it. The first commit takes it away. */
  readonly dormant?: boolean | undefined
  /** How much of what it took from outside is recorded among its steps, from the first on. Without: it is not. */
  readonly taken?: number | undefined
  /** What the runtime keeps about the run; its shape is the runtime's. */
  readonly data: unknown
  readonly snapshot: ChainEnd
  /** How many step records the run has: one that is missing is noticed. */
  readonly steps: number
}

const StepSchema = z.looseObject({
  kind: z.string(),
  name: z.string(),
  status: z.enum(['intended', 'ok', 'error']),
  attempt: z.number(),
  startedAt: z.number(),
  endedAt: z.number().optional(),
  retryAt: z.number().optional(),
  doubted: z.number().optional(),
  resolution: z.enum(['retried', 'recovered', 'reported', 'answered']).optional(),
  aborted: z.boolean().optional(),
})

const HeadSchema = z.looseObject({
  id: z.string(),
  kind: z.string(),
  name: z.string(),
  status: z.enum(['running', 'completed', 'failed', 'cancelled', 'incompatible']),
  createdAt: z.number(),
  updatedAt: z.number(),
  wakeAt: z.number().optional(),
  endedAt: z.number().optional(),
  dormant: z.boolean().optional(),
  taken: z.number().optional(),
  snapshot: z.object({
    seq: z.number(),
    checksum: z.number(),
    base: z.number().optional(),
    inline: z.instanceof(Uint8Array).optional(),
  }),
  steps: z.number(),
})

function parse(schema: z.ZodType, run: string, key: string, bytes: Uint8Array): unknown {
  try {
    const value = decodeRecord(key, bytes)
    schema.parse(value)
    return value
  } catch (cause) {
    if (isPerdureError(cause, 'STORE_FORMAT_NEWER')) throw cause
    const what = cause instanceof z.ZodError ? `is not what it should be: ${z.prettifyError(cause)}` : 'cannot be read'
    throw new PerdureError(
      'RUN_CORRUPT',
      `The record \`${key}\` of run \`${run}\` ${what}. Other runs are not touched. Restore the store from a backup, or start the run anew under another id.`,
      { cause, details: { run, key } },
    )
  }
}

// The casts below: each schema names every field that its type requires.

/** Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export const parseStep = (run: string, key: string, bytes: Uint8Array): StepRecord =>
  parse(StepSchema, run, key, bytes) as StepRecord

/** Errors: `RUN_CORRUPT`, `STORE_FORMAT_NEWER`. */
export const parseHead = (run: string, key: string, bytes: Uint8Array): Head => parse(HeadSchema, run, key, bytes) as Head
