import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { PerdureError } from '../errors.ts'
import type { ConnectionHandler } from './endpoint.ts'
import type { Management } from './management.ts'
import { isMethodName, type MethodName, methods, toLiveArguments } from './methods.ts'
import { encodeFrame, type Frame, readFrames, toWireError, unpackValue } from './wire.ts'

/** How long closing waits for what was said last to be taken. */
const LATE_MS = 1_000
const MAX_BODY_BYTES = 16 * 1024 ** 2
const TYPE = 'application/x-perdure'

type Method = (...args: readonly unknown[]) => Promise<unknown> | AsyncIterable<unknown>

interface ServedStore {
  readonly directory: string
  /** Aborted when the handler is closed: what waits ends then. What is done by itself, or fails as the runtime closes, says so. */
  readonly closing: AbortController
}

/** Answers requests by calling `management`. What is no request gets a status of HTTP, and ends nothing but its connection. */
export function createRequestHandler(management: Management, { directory, closing }: ServedStore): ConnectionHandler {
  /** Those that are open, and whether a request of theirs is under way. */
  const sockets = new Map<Socket, { isBusy: boolean; readonly closed: Promise<void> }>()
  const server = createServer((request, response) => {
    const connection = sockets.get(request.socket)
    if (connection !== undefined) connection.isBusy = true
    answer(request, response).catch(() => void response.destroy()) // the connection is gone
  })
  server.on('clientError', (_, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
    else socket.destroy()
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.shouldKeepAlive = false
    const name = (request.url ?? '').slice(1)
    if (request.method !== 'POST') return refuse(response, 405, 'Expected the method POST')
    if (!isMethodName(name)) return refuse(response, 404, `Expected the path to be \`/<method>\`, got \`/${name.slice(0, 60)}\``)
    if (methods[name] === 'upload') return answerUpload(name, request, response)
    const body = await readBody(request)
    if (body === undefined) return refuse(response, 413, `Expected the arguments of \`${name}\` to have at most 16 MB`)
    const args = parseArguments(body)
    if (args === undefined) return refuse(response, 400, `Expected the body to be the arguments of \`${name}\` in MessagePack`)
    await call(name, args, response)
  }

  /** Its body is frames: the other arguments, then the bytes as they come. It is read to its end before the answer: who still sends would not see that. */
  async function answerUpload(name: MethodName, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks = (): AsyncIterable<Uint8Array> => request.iterator({ destroyOnReturn: false })
    const frames = readFrames(chunks(), MAX_BODY_BYTES)
    const first = await frames.next().catch(() => undefined)
    const args = first?.done === false && first.value.kind === 'value' ? first.value.value : undefined
    const finishRequest = async (): Promise<void> => {
      for await (const _ of chunks());
    }
    if (!Array.isArray(args)) {
      await finishRequest()
      return refuse(response, 400, `Expected the body to be the arguments of \`${name}\`, and bytes`)
    }
    await call(name, [readUpload(frames), ...args], response, finishRequest)
  }

  async function call(
    name: MethodName,
    args: readonly unknown[],
    response: ServerResponse,
    finishRequest: () => Promise<void> = async () => {},
  ): Promise<void> {
    response.writeHead(200, { 'content-type': TYPE })
    response.flushHeaders()
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    const write = async (frame: Frame): Promise<void> => {
      if (gone.signal.aborted || response.write(encodeFrame(frame))) return
      await waitForDrain(response)
    }
    try {
      const method = (management[name] as Method).bind(management) // by the table, one with these arguments
      if (methods[name] === 'value' || methods[name] === 'upload') {
        const value = await method(...args)
        await finishRequest() // what ends the body comes after the last frame
        return await write({ kind: 'value', value })
      }
      const items = method(...toLiveArguments(name, args, gone.signal)) as AsyncIterable<unknown>
      for await (const value of items) {
        await write({ kind: 'item', value })
        if (gone.signal.aborted) return
      }
      await write({ kind: 'end' })
    } catch (error) {
      await finishRequest()
      await write({ kind: 'error', error: toWireError(closing.signal.aborted ? toClosed(directory) : error) })
    } finally {
      response.end()
    }
  }

  return {
    take(socket) {
      const closed = Promise.withResolvers<void>()
      sockets.set(socket, { isBusy: false, closed: closed.promise })
      socket.once('close', () => {
        sockets.delete(socket)
        closed.resolve()
      })
      server.emit('connection', socket)
    },
    async close() {
      closing.abort(toClosed(directory))
      for (const [socket, { isBusy }] of sockets) if (!isBusy) socket.destroy()
      const late = setTimeout(() => {
        for (const socket of sockets.keys()) socket.destroy() // they do not take their answer
      }, LATE_MS)
      await Promise.all([...sockets.values()].map(({ closed }) => closed))
      clearTimeout(late)
    },
  }
}

function refuse(response: ServerResponse, status: number, message: string): void {
  response.writeHead(status, { 'content-type': TYPE })
  response.end(encodeFrame({ kind: 'error', error: { name: 'TypeError', message } }))
}

/** The bytes that the frames carry. Throws where they end without saying so: whoever sent them is gone. */
async function* readUpload(frames: AsyncIterable<Frame>): AsyncGenerator<Uint8Array, void, void> {
  for await (const frame of frames) {
    if (frame.kind === 'end') return
    if (frame.kind !== 'item' || !(frame.value instanceof Uint8Array)) throw new TypeError('Expected the body to be bytes')
    yield frame.value
  }
  throw new Error('The bytes were cut off: whoever sent them is gone')
}

/** Undefined: it is too large. */
async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  return bytes > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks)
}

function parseArguments(body: Uint8Array): readonly unknown[] | undefined {
  try {
    const args = unpackValue(body)
    return Array.isArray(args) ? args : undefined
  } catch {
    return undefined
  }
}

function waitForDrain(response: ServerResponse): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  response.once('drain', resolve)
  response.once('close', resolve)
  return promise
}

const toClosed = (directory: string): PerdureError =>
  new PerdureError('STORE_CLOSED', `The runtime of \`${directory}\` was closed. What was acknowledged is on disk.`, {
    details: { directory },
  })
