import { types } from 'node:util'
import type { AnyStateMachine, Snapshot, StateValue } from 'xstate'
import { PerdureError, toMessage } from '../errors.ts'
import { decodeRecord, encodeRecord } from '../persistence/codec.ts'
import { dropOutlived, findMissing } from './compatibility.ts'
import type { StoredTimer } from './durable-timers.ts'

/** Which version of a machine a run was recorded with: as its config declared it, and a hash of its structure. */
export interface MachineVersion {
  readonly declared?: string | undefined
  readonly structure: string
}

/** A machine's state as it is recorded: XState's persisted snapshot, and the delayed events that are still to come. */
export interface PersistedSnapshot {
  status: 'active' | 'done' | 'error' | 'stopped'
  value: StateValue
  context: Record<string, unknown>
  historyValue: Record<string, { id: string }[]>
  /** By id. */
  children: Record<string, { snapshot: unknown; src: string; systemId?: string | undefined; syncSnapshot?: boolean | undefined }>
  output?: unknown
  error?: unknown
  /** Those of children too. That of an `after` has the id and event type `xstate.after.<delay>.<id of the state>`. */
  timers: readonly StoredTimer[]
}

/**
 * Brings what an earlier version of a machine recorded into the shape of this one. `snapshot` is a copy: change it and return it, or return another one.
 * It must be synchronous and depend on nothing else: after a crash it is called again, and the doctor calls it too. An `after` of a state that the
 * result is not in goes away by itself, and so do the timers of children that it has not; without `timers`, the others stay.
 *
 * `from.version` is what the machine declared as its `version`, if it did.
 */
export type Migrate = (
  snapshot: PersistedSnapshot,
  from: { readonly version?: string | undefined; readonly structure: string },
) => Omit<PersistedSnapshot, 'timers'> & { readonly timers?: readonly StoredTimer[] | undefined }

/** A run as it was recorded. */
export interface StoredState {
  readonly run: string
  /** The machine's id. */
  readonly name: string
  readonly version: MachineVersion
  /** As `readPersisted` made it. */
  readonly snapshot: unknown
  readonly timers: readonly StoredTimer[]
}

export interface Migrated {
  readonly snapshot: Snapshot<unknown>
  readonly timers: readonly StoredTimer[]
}

/** Checks a `migrate` that was handed in. Errors: a `TypeError`. */
export function assertMigrate(migrate: unknown, machine: string): asserts migrate is Migrate | undefined {
  if (migrate === undefined) return
  const expected = `Expected \`migrate\` of machine \`${machine}\` to be a synchronous function`
  if (typeof migrate !== 'function') throw new TypeError(`${expected}, got \`${String(migrate)}\` (${typeof migrate})`)
  if (types.isAsyncFunction(migrate)) throw new TypeError(`${expected}, got an async one`)
}

/**
 * What `migrate` makes of a stored run, checked: it can be stored, and `machine` has everything that it needs. The stored run itself is not touched.
 * Errors: `MIGRATION_FAILED`, with `missing` in its details when the result does not fit the machine.
 */
export function migrateState(machine: AnyStateMachine, migrate: Migrate, stored: StoredState): Migrated {
  const fail = (what: string, cause?: unknown, missing?: readonly string[]): PerdureError => {
    const { run, name, version } = stored
    const from = version.declared === undefined ? '' : ` from version \`${version.declared}\``
    return new PerdureError(
      'MIGRATION_FAILED',
      `The run \`${run}\` was not migrated${from} to the machine \`${name}\` as it is now: ${what}. It is kept as it was. Correct \`migrate\` and open the store again.`,
      { cause, details: { run, machine: name, ...(missing === undefined ? {} : { missing: [...missing] }) } },
    )
  }
  const { declared, structure } = stored.version
  let result: unknown
  try {
    const copy = toCopy({ ...(stored.snapshot as object), timers: stored.timers }) // whatever it is: spreading takes anything
    result = migrate(copy as PersistedSnapshot, { version: declared, structure }) // written by `readPersisted`
  } catch (error) {
    throw fail(`\`migrate\` threw: ${toMessage(error)}`, error)
  }
  if (typeof result !== 'object' || result === null)
    throw fail(`\`migrate\` returned \`${String(result)}\` (${typeof result}) instead of a snapshot`)
  if ('then' in result && typeof result.then === 'function') {
    Promise.resolve(result).catch(() => {}) // nobody waits for it
    const cause = new TypeError(`Expected \`migrate\` of machine \`${stored.name}\` to return a snapshot, got a promise`)
    throw fail('`migrate` returned a promise. It must be synchronous', cause)
  }
  let copy: unknown
  try {
    copy = toCopy(result)
  } catch (error) {
    throw fail(`what \`migrate\` returned cannot be stored: ${toMessage(error)}`, error)
  }
  const { timers: given = stored.timers, ...snapshot } = copy as Partial<PersistedSnapshot> // checked below
  const timers = Array.isArray(given) ? dropOutlived<StoredTimer>(machine, snapshot, given) : given
  const missing = findMissing(machine, snapshot, timers)
  if (missing.length > 0) throw fail(`what \`migrate\` returned does not fit. Missing: ${missing.join('; ')}`, undefined, missing)
  return { snapshot: snapshot as Snapshot<unknown>, timers } // just checked
}

/** A copy as the disk would give it. Errors: `VALUE_NOT_STORABLE`. */
const toCopy = (value: unknown): unknown => decodeRecord('migrate', encodeRecord('migrate', value))
