import { resolve } from 'node:path'
import { PerdureError } from '../errors.ts'
import type { Encryption } from '../persistence/encrypted-store.ts'
import type { DoctorReport } from './examination.ts'
import { assertStore } from './existing-store.ts'
import type { MachineEntry } from './machine-registry.ts'

export type { DoctorReport } from './examination.ts'

/** Which store is examined, and by which machines. */
export interface DoctorOptions {
  /** The folder of an existing store. No other process may have it open; the command `perdure doctor` also asks one that has. */
  readonly directory: string
  /** As for `openRuntime`: those of the new release. */
  readonly machines: readonly MachineEntry[]
  /** As for `openRuntime`: with what the store is encrypted. */
  readonly encryption?: Encryption | undefined
  /** Hears of each live run, in the order of their ids; awaited before the next is looked at. What it throws ends the examination. */
  readonly onRun?: ((report: DoctorReport) => unknown) | undefined
  /** Ends the examination with `ABORTED`. */
  readonly signal?: AbortSignal | undefined
}

/** How many live runs there are, by what would become of them. See {@link DoctorReport}. */
export interface DoctorSummary extends Readonly<Record<DoctorReport['verdict'], number>> {
  readonly total: number
}

/**
 * Says what would become of every live run of a store under other machines, before they are deployed (P10): which would continue, migrate, or be parked
 * and why. Nothing is started, and no run is changed: `migrate` is tried on a copy. Memory does not grow with the number of runs.
 *
 * Errors: `STORE_PATH_INVALID` (there is no store; none is created), `MACHINE_DUPLICATE`, `ABORTED`, and those of opening a store: `STORE_LOCKED`,
 * `STORE_NOT_WRITABLE`, `STORE_FORMAT_NEWER`, `STORE_CORRUPT`, `STORE_FULL`, `ENCRYPTION_KEY_REQUIRED`, `ENCRYPTION_KEY_WRONG`, `STORE_NOT_ENCRYPTED`. A run that cannot be read is no error but a report.
 *
 * @example
 * ```ts
 * const { park, unknown } = await doctor({ directory: '.perdure', machines, onRun: (report) => console.log(report) })
 * if (park + unknown > 0) process.exitCode = 1
 * ```
 */
export async function doctor({ directory, machines, encryption, onRun, signal }: DoctorOptions): Promise<DoctorSummary> {
  if (typeof directory !== 'string' || directory === '')
    throw new TypeError(`Expected \`directory\` to be a non-empty string, got \`${String(directory)}\` (${typeof directory})`)
  if (onRun !== undefined && typeof onRun !== 'function')
    throw new TypeError(`Expected \`onRun\` to be a function, got \`${String(onRun)}\` (${typeof onRun})`)
  // Loaded when asked for: importing the package costs little.
  const [{ createMachineRegistry }, { openLevelStore }, { unlockStore }, { examine }] = await Promise.all([
    import('./machine-registry.ts'),
    import('../persistence/leveldb.ts'),
    import('../persistence/encrypted-store.ts'),
    import('./examination.ts'),
  ])
  const registry = createMachineRegistry(machines)
  await assertStore(resolve(directory))
  const store = await unlockStore(await openLevelStore(directory, signal === undefined ? {} : { signal }), encryption)
  const counts = { total: 0, continue: 0, migrate: 0, park: 0, unknown: 0, unreadable: 0 }
  try {
    for await (const report of examine(store, registry)) {
      if (signal?.aborted === true)
        throw new PerdureError('ABORTED', `The examination of the store at ${store.location} was aborted. Nothing was changed.`, {
          cause: signal.reason,
          details: { directory: store.location },
        })
      counts.total++
      counts[report.verdict]++
      await onRun?.(report)
    }
  } finally {
    await store.close()
  }
  return counts
}
