import { isLogFormat, type LogFormat } from '../observe/log-format.ts'
import type { EventListener } from './events.ts'
import type { Runtime } from './runtime.ts'

/**
 * Where a runtime is put together from a store, a log and the rooms of this folder. All of it is loaded when the first runtime is opened:
 * importing the package costs little, and an agent that is not durable needs none of it.
 */
export interface RuntimeOptions {
  /** The folder on disk. Created if it is not there; must be empty or a store. */
  readonly directory: string
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
  /** The time in epoch milliseconds. Default: `Date.now`. */
  readonly now?: (() => number) | undefined
  /** Gives up waiting for the store to open. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Opens the store in `directory`, or creates it.
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
  const { directory, signal, durability = 'disk', now = Date.now, onEvent } = options
  if (typeof directory !== 'string' || directory === '')
    throw new TypeError(`Expected \`directory\` to be a non-empty string, got \`${String(directory)}\` (${typeof directory})`)
  if (durability !== 'disk' && durability !== 'process')
    throw new TypeError(`Expected \`durability\` to be 'disk' or 'process', got \`${String(durability)}\` (${typeof durability})`)
  const format = options.log ?? toDefaultFormat(process.env.PERDURE_LOG)
  if (!isLogFormat(format))
    throw new TypeError(`Expected \`log\` to be 'pretty', 'json' or 'silent', got \`${String(format)}\` (${typeof format})`)
  const [{ openLevelStore }, { createReporter }, { createRuntime }] = await Promise.all([
    import('../persistence/leveldb.ts'),
    import('../observe/reporter.ts'),
    import('./runtime.ts'),
  ])
  const store = await openLevelStore(directory, signal === undefined ? {} : { signal })
  return createRuntime({ store, durability, now, onEvent, reporter: createReporter({ format, now }) })
}

const toDefaultFormat = (value: string | undefined): LogFormat => (isLogFormat(value) ? value : 'pretty')
