import type { AnyStateMachine } from 'xstate'
import { isPerdureError, PerdureError } from '../errors.ts'
import { findMissing } from './compatibility.ts'
import { isMachine, toStructure } from './machine-structure.ts'
import { assertMigrate, type MachineVersion, type Migrate, type Migrated, migrateState, type StoredState } from './migration.ts'

export type { MachineVersion, Migrate, PersistedSnapshot } from './migration.ts'

/** A machine whose runs a runtime keeps, and how. */
export type MachineEntry = AnyStateMachine | MachineRegistration

/** A machine with what else is to be known of it. */
export interface MachineRegistration {
  readonly machine: AnyStateMachine
  /** Brings runs of earlier versions to this one. */
  readonly migrate?: Migrate | undefined
  /**
   * `false`: what its runs take from outside is not recorded, so they cannot be replayed, and each event writes less. A run that has once gone on without it stays so. Default: true,
   * for runs that begin with it. See docs/replay.md for what it costs.
   */
  readonly recordInputs?: boolean | undefined
}

interface RegisteredMachine {
  readonly machine: AnyStateMachine
  readonly version: MachineVersion
  readonly migrate: Migrate | undefined
  readonly recordInputs: boolean
}

/** Which machine a stored run goes on with. `same`: that which recorded it. */
type Resolution =
  | { readonly kind: 'same'; readonly entry: RegisteredMachine }
  | { readonly kind: 'changed'; readonly entry: RegisteredMachine }
  | { readonly kind: 'unknown' }

/** The machines that a runtime knows. There may be several versions of one id; the newest is the last in the list. */
export interface MachineRegistry {
  /** What a new run of it starts with; of an id, the newest version. Errors: `MACHINE_UNKNOWN`, or a `TypeError`. */
  find(machineOrId: AnyStateMachine | string): RegisteredMachine
  /** The machine for a run of machine `name`: that of the declared version, else one of the same structure, else the newest. */
  resolve(name: string, version: MachineVersion): Resolution
}

/**
 * Errors: `MACHINE_DUPLICATE` when two machines have the same id and version, a `TypeError` for what is no machine.
 */
export function createMachineRegistry(entries: readonly MachineEntry[]): MachineRegistry {
  if (!Array.isArray(entries)) throw new TypeError(`Expected \`machines\` to be an array of machines, got ${typeof entries}`)
  const versions = new Map<string, RegisteredMachine[]>()
  for (const [index, entry] of entries.entries()) {
    const registered = toRegistered(entry, index)
    const { machine, version } = registered
    const others = versions.get(machine.id) ?? []
    if (others.some((other) => other.machine === machine || other.version.declared === version.declared))
      throw toDuplicate(machine)
    versions.set(machine.id, [...others, registered])
  }
  return {
    find(machineOrId) {
      const isId = typeof machineOrId === 'string'
      if (!isId && !isMachine(machineOrId))
        throw new TypeError(`Expected a machine or the id of one, got \`${String(machineOrId)}\` (${typeof machineOrId})`)
      const known = versions.get(isId ? machineOrId : machineOrId.id) ?? []
      const found = isId ? known.at(-1) : known.find(({ machine }) => machine === machineOrId)
      if (found !== undefined) return found
      const id = isId ? machineOrId : machineOrId.id
      const hint = known.length === 0 ? '' : ' There is another machine of that id: `provide` makes a new one.'
      throw toUnknown(`The machine \`${id}\` is not registered.${hint} Add it to \`machines\` of \`openRuntime\`.`, {
        machine: id,
      })
    },
    resolve(name, { declared, structure }) {
      const known = versions.get(name) ?? []
      const entry =
        known.find(({ version }) => declared !== undefined && version.declared === declared) ??
        known.findLast(({ version }) => version.structure === structure) ??
        known.at(-1)
      if (entry === undefined) return { kind: 'unknown' }
      // The structure counts under the same declared version too: people forget to raise it.
      const isSame = entry.version.declared === declared && entry.version.structure === structure
      return { kind: isSame ? 'same' : 'changed', entry }
    },
  }
}

/** What is to be done with a stored run (P10). */
export type ActivationPlan =
  /** It goes on as it is; `version` is that of `machine`. */
  | { readonly kind: 'continue'; readonly machine: AnyStateMachine; readonly version: MachineVersion }
  /** It goes on with `snapshot` and `timers` instead of what is stored. */
  | ({ readonly kind: 'migrate'; readonly machine: AnyStateMachine; readonly version: MachineVersion } & Migrated)
  /** It cannot go on. */
  | { readonly kind: 'park'; readonly missing: readonly string[] }
  /** `error` is a `MIGRATION_FAILED`. */
  | { readonly kind: 'failed'; readonly error: PerdureError }
  /** `error` is a `MACHINE_UNKNOWN`. */
  | { readonly kind: 'unknown'; readonly error: PerdureError }

/** Decides how a stored run goes on. Starts and changes nothing. */
export function planActivation(registry: MachineRegistry, stored: StoredState): ActivationPlan {
  const resolution = registry.resolve(stored.name, stored.version)
  if (resolution.kind === 'unknown') {
    const { name, run } = stored
    const message = `The run \`${run}\` needs the machine \`${name}\`, which is not registered. Add it to \`machines\` of \`openRuntime\`.`
    return { kind: 'unknown', error: toUnknown(message, { run, machine: name }) }
  }
  const { machine, version, migrate } = resolution.entry
  if (resolution.kind === 'same') return { kind: 'continue', machine, version }
  if (migrate !== undefined) {
    try {
      return { kind: 'migrate', machine, version, ...migrateState(machine, migrate, stored) }
    } catch (error) {
      if (isPerdureError(error, 'MIGRATION_FAILED')) return { kind: 'failed', error }
      throw error
    }
  }
  const missing = findMissing(machine, stored.snapshot, stored.timers)
  return missing.length === 0 ? { kind: 'continue', machine, version } : { kind: 'park', missing }
}

function toRegistered(entry: MachineEntry, index: number): RegisteredMachine {
  const isBare = isMachine(entry)
  const machine: unknown = isBare ? entry : (entry as { readonly machine?: unknown } | undefined)?.machine
  if (!isMachine(machine)) {
    const what = typeof entry === 'object' && entry !== null ? 'an object that is none' : `\`${String(entry)}\` (${typeof entry})`
    throw new TypeError(`Expected \`machines[${index}]\` to be an XState machine, or an object with a \`machine\`, got ${what}`)
  }
  const { id, version: declared } = machine
  if (declared !== undefined && typeof declared !== 'string')
    throw new TypeError(
      `Expected \`version\` of machine \`${id}\` to be a string, got \`${String(declared)}\` (${typeof declared})`,
    )
  const migrate: unknown = isBare ? undefined : entry.migrate
  assertMigrate(migrate, id)
  const recordInputs: unknown = isBare ? true : (entry.recordInputs ?? true)
  if (typeof recordInputs !== 'boolean')
    throw new TypeError(
      `Expected \`recordInputs\` of machine \`${id}\` to be a boolean, got \`${String(recordInputs)}\` (${typeof recordInputs})`,
    )
  const version = { ...(declared === undefined ? {} : { declared }), structure: toStructure(machine) }
  return { machine, version, migrate, recordInputs }
}

function toUnknown(message: string, details: Readonly<Record<string, unknown>>): PerdureError {
  return new PerdureError('MACHINE_UNKNOWN', message, { details })
}

function toDuplicate({ id, version }: AnyStateMachine): PerdureError {
  const which = version === undefined ? 'without a `version`' : `of version \`${version}\``
  return new PerdureError(
    'MACHINE_DUPLICATE',
    `The machine \`${id}\` ${which} is registered twice. Register it once; different versions of it need a \`version\` each, other machines another \`id\`.`,
    { details: { machine: id, ...(version === undefined ? {} : { version }) } },
  )
}
