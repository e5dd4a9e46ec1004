import { realpath } from 'node:fs/promises'
import { type IncomingMessage, request as openRequest } from 'node:http'
import { resolve } from 'node:path'
import { pipeline, Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { isPerdureError, PerdureError } from '../errors.ts'
import type { Encryption } from '../persistence/encrypted-store.ts'
import type { Redact } from '../persistence/redaction.ts'
import { assertStore } from '../runtime/existing-store.ts'
import type { MachineEntry } from '../runtime/machine-registry.ts'
import { toBegun } from './begun.ts'
import { toAddress, toSocketPath } from './endpoint.ts'
import type { Management } from './management.ts'
import { type MethodName, methods } from './methods.ts'
import { encodeFrame, type Frame, fromWireError, packValue, readFrames } from './wire.ts'

/** How the store is reached. */
export interface ConnectOptions {
  /** The machines to go on with if no other process has the store open. Default: none, and runs of machines can only be looked at. */
  readonly machines?: readonly MachineEntry[] | undefined
  /** Makes the store if there is none. Default: false, and a path that was mistyped stays what it is. */
  readonly create?: boolean | undefined
  /** With what it is encrypted, if no other process has it open. */
  readonly encryption?: Encryption | undefined
  /** What is written instead of each text, if no other process has it open: as of `openRuntime`. */
  readonly redact?: Redact | undefined
}

/** A connection to a store; or, if nobody had it open, the store itself. */
export type Connection = Management & AsyncDisposable

/** How long an owner may take that is just opening the store. */
const OPENING_MS = 2_000
const RETRY_MS = 50

/**
 * Reaches the store in `directory`: through the process that has it open, else by opening it, so that others reach it through this one. Nothing goes on by itself in a store
 * that was opened so, until `resume` is asked for. Dispose of it when it is of no more use.
 *
 * Errors: `STORE_PATH_INVALID` (there is no store), `STORE_LOCKED` (a process has it open that cannot be reached), `STORE_NOT_WRITABLE`,
 * `STORE_FORMAT_NEWER`, `STORE_CORRUPT`, `STORE_FULL`.
 *
 * @example
 * ```ts
 * await using store = await connect('.perdure')
 * for await (const { runId, id, text } of store.pending()) console.log(runId, id, text)
 * ```
 */
export async function connect(
  directory: string,
  { machines = [], create = false, encryption, redact }: ConnectOptions = {},
): Promise<Connection> {
  if (typeof directory !== 'string' || directory === '')
    throw new TypeError(`Expected \`directory\` to be a non-empty string, got \`${String(directory)}\` (${typeof directory})`)
  const location = resolve(directory)
  if (!create) await assertStore(location)
  const deadline = performance.now() + OPENING_MS
  for (;;) {
    const client = createClient(location)
    try {
      await client.info()
      return client
    } catch (error) {
      if (!isPerdureError(error, 'OWNER_GONE') && !isPerdureError(error, 'STORE_CLOSED')) throw error
    }
    try {
      return await openHere(location, { machines, encryption, redact })
    } catch (error) {
      if (!isPerdureError(error, 'STORE_LOCKED') || performance.now() > deadline) throw error
    }
    await wait(RETRY_MS)
  }
}

async function openHere(directory: string, { machines = [], encryption, redact }: ConnectOptions): Promise<Connection> {
  const [{ openLevelStore }, { unlockStore }, { openRuntime }, { createManagement }] = await Promise.all([
    import('../persistence/leveldb.ts'),
    import('../persistence/encrypted-store.ts'),
    import('../runtime/open.ts'),
    import('./local.ts'),
  ])
  const store = await unlockStore(await openLevelStore(directory), encryption)
  const runtime = await openRuntime({ store, machines, redact, autoResume: false, log: 'silent' })
  const closing = new AbortController()
  const management = createManagement({
    runtime,
    store,
    now: Date.now,
    openedAt: Date.now(),
    machines,
    flows: new Set(),
    closing: closing.signal,
  })
  return {
    ...management,
    async [Symbol.asyncDispose]() {
      closing.abort(toClosed(directory))
      await runtime.close()
    },
  }
}

/** Internal. Errors of its methods: `OWNER_GONE` when nobody has the store open. */
function createClient(directory: string): Connection {
  const closing = new AbortController()

  const call = async function* (
    name: MethodName,
    given: readonly unknown[],
    toBody: (args: readonly unknown[]) => Body = packValue,
  ): AsyncGenerator<Frame> {
    const { args, signal: own } = splitSignal(given)
    const signal = own === undefined ? closing.signal : AbortSignal.any([own, closing.signal])
    const body = toBody(args)
    try {
      const response = await post(directory, name, body, signal)
      for await (const frame of readFrames(response)) {
        if (frame.kind === 'error') throw fromWireError(frame.error)
        yield frame
        if (frame.kind !== 'item') return
      }
    } catch (error) {
      if (own?.aborted === true) throw toAborted(directory, own)
      if (closing.signal.aborted) throw toClosed(directory)
      throw isConnectionError(error) ? toOwnerGone(directory, error) : error
    }
    throw toOwnerGone(directory)
  }

  const askValue = async (
    name: MethodName,
    args: readonly unknown[],
    toBody?: (args: readonly unknown[]) => Body,
  ): Promise<unknown> => {
    for await (const frame of call(name, args, toBody)) if (frame.kind === 'value') return frame.value
    throw toOwnerGone(directory)
  }
  const upload = async (name: MethodName, [source, ...args]: readonly unknown[]): Promise<unknown> => {
    let failure: { readonly error: unknown } | undefined
    const bytes = async function* (): AsyncGenerator<Uint8Array> {
      try {
        yield* source as AsyncIterable<Uint8Array> // as the interface says
      } catch (error) {
        failure = { error }
        throw error
      }
    }
    const begun = toBegun(bytes()) // a file that cannot be opened says so once
    try {
      return await askValue(name, args, (sent) => toUpload(sent, begun))
    } catch (error) {
      throw failure === undefined ? error : failure.error
    }
  }
  const askMany = async function* (name: MethodName, args: readonly unknown[]): AsyncGenerator<unknown> {
    for await (const frame of call(name, args)) if (frame.kind === 'item') yield frame.value
  }

  const ways = { value: askValue, many: askMany, live: askMany, upload }
  const entries = Object.entries(methods).map(([name, kind]) => [
    name,
    (...args: unknown[]) => ways[kind](name as MethodName, args), // a key of the table
  ])
  return {
    ...(Object.fromEntries(entries) as Management), // the table has its methods, and what each returns
    async [Symbol.asyncDispose]() {
      closing.abort()
    },
  }
}

/** A signal does not go over a socket: the connection ends instead. */
function splitSignal(given: readonly unknown[]): { readonly args: readonly unknown[]; readonly signal: AbortSignal | undefined } {
  const last = given.at(-1)
  if (typeof last !== 'object' || last === null || !('signal' in last)) return { args: given, signal: undefined }
  const { signal, ...rest } = last
  return { args: [...given.slice(0, -1), rest], signal: signal instanceof AbortSignal ? signal : undefined }
}

type Body = Uint8Array | AsyncIterable<Uint8Array>

/** No frame of an upload is larger, however large the pieces are that it comes in: its owner takes none above 16 MB. */
const PIECE_BYTES = 1024 ** 2

async function* toUpload(args: readonly unknown[], source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield encodeFrame({ kind: 'value', value: args })
  for await (const value of source)
    for (let at = 0; at === 0 || at < value.byteLength; at += PIECE_BYTES)
      yield encodeFrame({ kind: 'item', value: new Uint8Array(value.subarray(at, at + PIECE_BYTES)) }) // a Buffer would be one there too
  yield encodeFrame({ kind: 'end' })
}

async function post(directory: string, name: MethodName, body: Body, signal: AbortSignal): Promise<IncomingMessage> {
  const socketPath = await toAddress(toSocketPath(await realpath(directory)))
  const { promise, resolve: settle, reject } = Promise.withResolvers<IncomingMessage>()
  const headers = body instanceof Uint8Array ? { 'content-length': body.byteLength } : {}
  const sent = openRequest({ socketPath, path: `/${name}`, method: 'POST', headers, agent: false, signal }, settle)
  sent.on('error', reject)
  if (body instanceof Uint8Array) sent.end(body)
  else pipeline(Readable.from(body), sent, () => {}) // an error of the bytes is one of the request
  return promise
}

/** Nobody listens, or whoever did is gone. */
function isConnectionError(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' && connectionErrors.has(code)
}

const connectionErrors: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'ECONNRESET', 'EPIPE', 'ENOTSOCK', 'EOF'])

const toOwnerGone = (directory: string, cause?: unknown): PerdureError =>
  new PerdureError(
    'OWNER_GONE',
    `The process that had the store at ${directory} open ended. What it had acknowledged is on disk. Try again: the store is then opened here.`,
    { cause, details: { directory } },
  )

const toClosed = (directory: string): PerdureError =>
  new PerdureError('STORE_CLOSED', `The connection to the store at ${directory} was closed.`, { details: { directory } })

const toAborted = (directory: string, signal: AbortSignal): PerdureError =>
  new PerdureError('ABORTED', `Waiting for the store at ${directory} was aborted. Its runs go on.`, { cause: signal.reason })
