import type { StepRecord } from '../persistence/run-record.ts'
import type { ActorRecord } from '../runtime/durable-actor.ts'
import { parseTaken, type TakenInput, type TakenResult } from '../runtime/taken-record.ts'

/** Something that the run of a machine took from outside, and what is known of the machine then. */
export type TakenRecording = TakenInput &
  TakenResult & {
    /** Its record among the steps. */
    readonly place: string
    /** When it was taken, in epoch milliseconds. */
    readonly at: number
  }

/** What is recorded of a machine's run besides its steps. */
export interface MachineRecording {
  /** What it took from outside, in that order. `undefined`: that was not recorded. */
  readonly taken: readonly TakenRecording[] | undefined
  /** What its actors came to. `undefined`: it did not begin. */
  readonly state: MachineState | undefined
}

/** What can be compared of an actor: what it does at the moment cannot. */
export interface MachineState {
  readonly status: string
  readonly value?: unknown
  readonly context?: unknown
  readonly output?: unknown
  readonly error?: unknown
  readonly historyValue?: unknown
  /** Those that are machines or hold a state. Promises, callbacks and steps are what they were started with. */
  readonly children: Readonly<Record<string, MachineState>>
}

/** As XState persists an actor. */
export type PersistedActor = Omit<MachineState, 'children'> & {
  readonly children?: Readonly<Record<string, { readonly snapshot: PersistedActor }>>
}

export function toMachineRecording(
  run: string,
  steps: readonly (readonly [key: string, record: StepRecord])[],
  isRecorded: boolean,
  snapshot: unknown,
): MachineRecording {
  const { actor } = (snapshot ?? {}) as Partial<ActorRecord> // checksummed: written by a durable actor
  const toTaken = ([place, record]: readonly [string, StepRecord]): TakenRecording => ({
    ...parseTaken(run, record),
    place,
    at: record.startedAt,
  })
  return {
    taken: isRecorded ? steps.map(toTaken) : undefined,
    state: actor === undefined ? undefined : toMachineState(actor as PersistedActor), // as XState persists any
  }
}

/** What an actor was persisted as, without what is another in each process. */
export function toMachineState(persisted: PersistedActor): MachineState {
  const { status, value, context, output, error, historyValue, children = {} } = persisted
  const held = Object.entries(children).filter(([, { snapshot }]) => 'value' in snapshot || 'context' in snapshot)
  const below = held.map(([id, { snapshot }]) => [id, toMachineState(snapshot)])
  return { status, value, context, output, error, historyValue, children: Object.fromEntries(below) }
}
