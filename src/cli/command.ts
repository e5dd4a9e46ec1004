import { nearest } from '../actors/nearest.ts'
import { isPerdureError, type PerdureErrorCode, toMessage } from '../errors.ts'
import { type Connection, type ConnectOptions, connect } from '../management/client.ts'
import { toFirstLine, toSafeJson } from '../observe/safe-text.ts'
import type { Theme } from '../observe/theme.ts'
import { loadApp } from './app.ts'

/** `0`: done. `1`: it could not be done, or what was looked for was found wrong. `2`: the question could not be answered: wrong usage, or no store. `130`: ended by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | 130

/** Where a command writes, and how. */
export interface CommandOutput {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

export interface Terminal extends CommandOutput {
  /** The width of the terminal; undefined: what is written goes elsewhere, and nothing is cut. */
  readonly columns: number | undefined
  readonly theme: Theme
  readonly now: () => number
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal
}

/** What all commands on a store take. */
export interface StoreOptions {
  /** The folder of the store. */
  readonly dir: string
  /** A module that exports `machines`: for a store that no other process has open. */
  readonly app?: string | undefined
  readonly json?: boolean | undefined
  /** Makes the store if there is none. */
  readonly create?: boolean | undefined
}

export type CommandBody = (store: Connection) => Promise<ExitCode | undefined>

/** Errors that say that the question could not even be asked. */
const unreachable: ReadonlySet<PerdureErrorCode> = new Set([
  'STORE_PATH_INVALID',
  'STORE_NOT_WRITABLE',
  'STORE_LOCKED',
  'STORE_FORMAT_NEWER',
  'STORE_CORRUPT',
  'STORE_FULL',
  'OWNER_GONE',
  'STORE_CLOSED',
  'ENCRYPTION_KEY_REQUIRED',
  'ENCRYPTION_KEY_WRONG',
  'STORE_NOT_ENCRYPTED',
])

/** Any time will do: nothing happens then. */
const STAY_MS = 60_000

/** Runs a command on the store of `options`. What went wrong is told on `err`. Never throws. */
export async function runCommand(name: string, options: StoreOptions, terminal: Terminal, body: CommandBody): Promise<ExitCode> {
  const stay = setInterval(() => {}, STAY_MS) // a store that is open here keeps no process that waits for it
  try {
    const app = options.app === undefined ? {} : await loadApp(options.app)
    const store = await connect(options.dir, { ...app, create: options.create, encryption: readEncryption(process.env) })
    try {
      return (await body(store)) ?? 0
    } catch (error) {
      if (terminal.signal.aborted) return 130
      return fail(name, error, terminal, await toHint(store, error, options).catch(() => ''))
    } finally {
      await store[Symbol.asyncDispose]()
    }
  } catch (error) {
    return fail(name, error, terminal, '')
  } finally {
    clearInterval(stay)
  }
}

/** Runs a command that needs no store. Never throws. */
export async function runOffline(name: string, terminal: Terminal, body: () => Promise<ExitCode>): Promise<ExitCode> {
  try {
    return await body()
  } catch (error) {
    return terminal.signal.aborted ? 130 : fail(name, error, terminal, '')
  }
}

/** Keys are in the environment: what is on a command line, others can read. */
export function readEncryption({ PERDURE_KEY, PERDURE_PREVIOUS_KEY }: NodeJS.ProcessEnv): ConnectOptions['encryption'] {
  if (PERDURE_KEY === undefined || PERDURE_KEY === '') return undefined
  const previousKeys = PERDURE_PREVIOUS_KEY === undefined ? [] : [Buffer.from(PERDURE_PREVIOUS_KEY, 'base64')]
  return { key: Buffer.from(PERDURE_KEY, 'base64'), previousKeys }
}

function fail(name: string, error: unknown, { err }: CommandOutput, hint: string): ExitCode {
  const code = isPerdureError(error) ? error.code : undefined
  err(`perdure ${name}: ${code === undefined ? '' : `${code}: `}${toFirstLine(toMessage(error))}${hint}\n`)
  return code === undefined || unreachable.has(code) ? 2 : 1
}

async function toHint(store: Connection, error: unknown, { app }: StoreOptions): Promise<string> {
  if (isPerdureError(error, 'MACHINE_UNKNOWN') && app === undefined && (await store.info()).owner.pid === process.pid)
    return ' Name the module of the app that exports its `machines` with --app.'
  if (!isPerdureError(error, 'RUN_NOT_FOUND')) return ''
  const near = await findNear(store, String(error.details.run ?? ''))
  return near.length === 0 ? '' : ` Did you mean ${near.map((id) => `\`${toFirstLine(id)}\``).join(' or ')}?`
}

/** How many runs are looked at to find one that is spelled alike. */
const MAX_LOOKED_AT = 2_000

/** The runs whose ids are like `id`: one that is spelled alike, else some that begin alike or end with it. */
async function findNear(store: Connection, id: string): Promise<readonly string[]> {
  const ids: string[] = []
  for await (const run of store.runs({ limit: MAX_LOOKED_AT })) ids.push(run.id)
  const alike = nearest(id, ids)
  if (alike !== undefined) return [alike]
  const start = id.includes('/') ? id.slice(0, id.lastIndexOf('/') + 1) : id
  return ids.filter((other) => other.startsWith(start) || other.endsWith(`/${id}`)).slice(0, 3)
}

/** An object as one line. */
export const toJsonLine = (value: unknown): string => `${toSafeJson(JSON.stringify(value, toJsonValue))}\n`

/** What JSON has no word for, as near as it comes. */
function toJsonValue(_: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString()
  if (value instanceof Map) return [...value]
  if (value instanceof Set) return [...value]
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64')
  if (isPerdureError(value) || !(value instanceof Error)) return value
  return { name: value.name, message: value.message }
}

/** A value that somebody typed: JSON, or else a text. */
export function parseValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Errors: a `TypeError` that names the option. */
export function parseJson(name: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TypeError(`Expected ${name} to be JSON: ${toMessage(error)}`)
  }
}
