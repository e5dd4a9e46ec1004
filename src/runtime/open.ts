import { isAbsolute } from 'node:path'
import type { Endpoint } from '../management/endpoint.ts'
import { isLogFormat, type LogFormat } from '../observe/log-format.ts'
import type { Encryption } from '../persistence/encrypted-store.ts'
import type { Redact } from '../persistence/redaction.ts'
import type { RetentionPolicy } from '../persistence/retention.ts'
import type { Store } from '../persistence/store.ts'
import { type Clock, systemClock } from './clock.ts'
import type { EventListener } from './events.ts'
import type { IdlePolicy } from './idle.ts'
import type { InspectionObserver } from './inspection.ts'
import type { MachineEntry } from './machine-registry.ts'
import type { Runtime } from './runtime.ts'

/**
 * Where a runtime is put together from a store, a log and the rooms of this folder. All of it is loaded when the first runtime is opened:
 * importing the package costs little, and an agent that is not durable needs none of it.
 */
export interface RuntimeSettings {
  /**
   * `disk` (default): what resolves survives a power cut. `process`: it survives the death of the process, but what the operating system
   * had not yet written when the machine loses power is lost; faster.
   */
  readonly durability?: 'disk' | 'process' | undefined
  /**
   * What is printed to `process.stderr`: `pretty` for a person, `json` a line for each event, `silent` nothing. Default: the
   * environment's `PERDURE_LOG` if it is one of these, else `pretty`. See `createReporter`.
   */
  readonly log?: LogFormat | undefined
  /** Hears every event, from the first. See also {@link Runtime.subscribe}. */
  readonly onEvent?: EventListener | undefined
  /**
   * The machines whose runs live here, also those of runs that were started by earlier processes. Several versions of one machine (XState's `version`)
   * may stand side by side: a run stays with the version that it began with; new ones begin with the last of them. Default: none.
   */
  readonly machines?: readonly MachineEntry[] | undefined
  /**
   * `false`: runs of machines that have work are left alone until they are asked for, or until {@link Runtime.resume}. Default: true.
   */
  readonly autoResume?: boolean | undefined
  /** How many runs are brought into memory at once when runs are resumed. Default: 32. */
  readonly resumeConcurrency?: number | undefined
  /** When a run that waits is dropped from memory: after `afterMs` (default 30,000) without use, or when more than `maxIdle` (default 1,000) do. */
  readonly passivate?: Partial<IdlePolicy> | undefined
  /**
   * Which runs of machines and flows are kept after they came to their end; the others are removed in the background, the oldest end first. A run that has not
   * ended is never removed. Default: all are kept.
   */
  readonly retention?: RetentionPolicy | undefined
  /** Hears XState's inspection events of all runs, from the first. See {@link Runtime.inspect}. */
  readonly inspect?: InspectionObserver | undefined
  /**
   * The records of runs are encrypted (AES-256-GCM) with a key of 32 bytes. To change it, open the store once with the new `key` and the old one in `previousKeys`. Default: they are
   * not. Errors: `ENCRYPTION_KEY_REQUIRED`, `ENCRYPTION_KEY_WRONG`, `STORE_NOT_ENCRYPTED`: nothing was changed. See docs/privacy.md for what it covers.
   */
  readonly encryption?: Encryption | undefined
  /**
   * What is written, and logged, instead of each text that came from outside or goes there: prompts, answers, arguments, results, events, contexts, errors. The process that has the run in memory goes on
   * with the text as it is; what is read again, after a restart or when the run was dropped from memory, is what was written. Not for keys of objects, numbers and bytes. One that throws, or does not
   * return a text, is a `REDACTION_FAILED` of what was to be written. See docs/privacy.md. Default: texts are written as they are.
   */
  readonly redact?: Redact | undefined
  /** Where time comes from. Default: the system's. */
  readonly clock?: Clock | undefined
  /** Gives up waiting for the store to open. */
  readonly signal?: AbortSignal | undefined
}

/** Where a runtime keeps its runs (either a `directory` or a `store`), and how it goes about them. */
export type RuntimeOptions = RuntimeSettings &
  (
    | {
        /** The folder on disk. Created if it is not there; must be empty or a store. */
        readonly directory: string
        readonly store?: undefined
      }
    | {
        readonly directory?: undefined
        /**
         * An open store instead of a folder: `await openMemoryStore()` for tests, or one of your own that passes `storeContract` of `perdure/testing`. The
         * runtime closes it. If its `location` is an absolute path, the files of commands are kept there; if not, commands end with the process.
         */
        readonly store: Store
      }
  )

/**
 * Opens the store in `directory`, or creates it; or takes the open `store`.
 *
 * Errors: `STORE_LOCKED` (another process has it open: says which), `STORE_PATH_INVALID`, `STORE_NOT_WRITABLE`, `STORE_FORMAT_NEWER`,
 * `STORE_CORRUPT`, `STORE_FULL`.
 *
 * @example
 * ```ts
 * await using runtime = await openRuntime({ directory: '.perdure' })
 * const agent = runtime.durable(buildAgent(profile))
 * const { output } = await agent.run('Look around and tell me what this is.')
 * ```
 */
export async function openRuntime(options: RuntimeOptions): Promise<Runtime> {
  const { signal, durability = 'disk', clock = systemClock, onEvent, machines = [], inspect } = options
  const { autoResume = true, resumeConcurrency = 32, passivate: { afterMs = 30_000, maxIdle = 1_000 } = {}, retention } = options
  assertPlace(options)
  if (durability !== 'disk' && durability !== 'process')
    throw new TypeError(`Expected \`durability\` to be 'disk' or 'process', got \`${String(durability)}\` (${typeof durability})`)
  assertCount('resumeConcurrency', resumeConcurrency, 1)
  assertCount('passivate.afterMs', afterMs, 0)
  assertCount('passivate.maxIdle', maxIdle, 0)
  if (options.redact !== undefined && typeof options.redact !== 'function')
    throw new TypeError(`Expected \`redact\` to be a function, got ${typeof options.redact}`)
  const format = options.log ?? toDefaultFormat(process.env.PERDURE_LOG)
  if (!isLogFormat(format))
    throw new TypeError(`Expected \`log\` to be 'pretty', 'json' or 'silent', got \`${String(format)}\` (${typeof format})`)
  const [{ openLevelStore }, { unlockStore }, { resumeDeletions }, { createReporter }, { createRuntime }] = await Promise.all([
    import('../persistence/leveldb.ts'),
    import('../persistence/encrypted-store.ts'),
    import('../persistence/run-deletion.ts'),
    import('../observe/reporter.ts'),
    import('./runtime.ts'),
  ])
  const opened = options.store ?? (await openLevelStore(options.directory ?? '', signal === undefined ? {} : { signal }))
  const store = await unlockStore(opened, options.encryption)
  const served = Promise.withResolvers<Runtime>()
  served.promise.catch(() => {}) // nobody may come
  const flows = new Set<string>()
  let endpoint: Endpoint | undefined
  try {
    await resumeDeletions(store) // before anything can begin anew under the id of a run that is half gone
    endpoint = await serve(store, { clock, machines, flows, runtime: served.promise })
    const runtime = createRuntime({
      store,
      redact: options.redact,
      durability,
      clock,
      machines,
      autoResume,
      resumeConcurrency,
      idle: { afterMs, maxIdle },
      retention,
      inspect,
      onEvent,
      flows,
      endpoint,
      reporter: createReporter({ format, now: () => clock.now() }),
    })
    served.resolve(runtime)
    return runtime
  } catch (error) {
    served.reject(error)
    await endpoint?.close()
    await store.close() // the machines were refused, or the store cannot be read
    throw error
  }
}

interface Served {
  readonly clock: Clock
  readonly machines: readonly MachineEntry[]
  readonly flows: ReadonlySet<string>
  /** There when the endpoint is already. */
  readonly runtime: Promise<Runtime>
}

/** Lets other processes reach the store, if it is on disk. What answers them is loaded when the first one comes. */
async function serve(store: Store, { clock, machines, flows, runtime }: Served): Promise<Endpoint | undefined> {
  if (!isAbsolute(store.location)) return undefined
  const openedAt = clock.now()
  const { openEndpoint } = await import('../management/endpoint.ts')
  return openEndpoint(store.location, async () => {
    const [{ createManagement }, { createRequestHandler }] = await Promise.all([
      import('../management/local.ts'),
      import('../management/server.ts'),
    ])
    const closing = new AbortController()
    const room = {
      runtime: await runtime,
      store,
      now: () => clock.now(),
      openedAt,
      machines,
      flows,
      closing: closing.signal,
    }
    return createRequestHandler(createManagement(room), { directory: store.location, closing })
  })
}

function assertPlace({ directory, store }: RuntimeOptions): void {
  if (directory !== undefined && store !== undefined)
    throw new TypeError('Expected either `directory` or `store`, got both. A store says itself where it is')
  if (store !== undefined || (typeof directory === 'string' && directory !== '')) return
  throw new TypeError(`Expected \`directory\` to be a non-empty string, got \`${String(directory)}\` (${typeof directory})`)
}

function assertCount(name: string, value: unknown, minimum: number): void {
  if (Number.isInteger(value) && Number(value) >= minimum) return
  throw new TypeError(`Expected \`${name}\` to be an integer ≥ ${minimum}, got \`${String(value)}\` (${typeof value})`)
}

const toDefaultFormat = (value: string | undefined): LogFormat => (isLogFormat(value) ? value : 'pretty')
