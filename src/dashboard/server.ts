import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { toMessage } from '../errors.ts'
import type { Management } from '../management/management.ts'
import { isMethodName, toLiveArguments } from '../management/methods.ts'
import { toWireError } from '../management/wire.ts'
import { apiMethods, type DashboardApi, isApiMethod, toDashboardApi } from './api.ts'
import { createEventFeed, type EventFeed } from './event-feed.ts'
import { createGuard, securityHeaders } from './guard.ts'
import { toJsonView } from './json-view.ts'
import { loadPageFiles, type PageFile } from './page-files.ts'

export interface DashboardOptions {
  /** Default: one that is free. */
  readonly port?: number | undefined
}

export interface Dashboard {
  /** With what lets a browser in. Who has it can do to the store what its owner can. */
  readonly url: string
  /** Resolves when nobody is connected any more. */
  close(): Promise<void>
}

const HOST = '127.0.0.1'
const MAX_BODY_BYTES = 16 * 1024 ** 2
/** A page notices by the lack of it that its connection is dead. */
const HEARTBEAT_MS = 15_000

type Method = (...args: readonly unknown[]) => Promise<unknown> | AsyncIterable<unknown>

/**
 * Serves a page to look at a store and to change it, on the loopback interface, to whoever has its `url`. What the page can do is what {@link Management} can.
 * Errors: those of listening, such as that the port is taken.
 *
 * `POST /api/<method>` ({@link DashboardApi}) takes `{ args, whole? }` and answers with a line of JSON for each item, `{ value, cut }`, then `{ end: true }` or `{ error }`; without an end it was cut off.
 * `GET /events` are server-sent events.
 */
export async function serveDashboard(management: Management, { port = 0 }: DashboardOptions = {}): Promise<Dashboard> {
  const files = await loadPageFiles()
  const server = createServer()
  server.listen(port, HOST)
  await once(server, 'listening')
  const bound = (server.address() as AddressInfo).port // it listens on TCP
  const guard = createGuard(bound, [`${HOST}:${bound}`, `localhost:${bound}`])
  const feed = createEventFeed(management)
  const api = toDashboardApi(management)
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const url = parseUrl(request.url)
    const { method = '', headers } = request
    const refusal = url === undefined ? { status: 400, message: 'No URL.' } : guard.check({ method, url, headers })
    if (url === undefined || refusal !== undefined) return refuse(request, response, refusal)
    const answered =
      method === 'POST'
        ? answerCall(api, url.pathname, request, response)
        : answerPage({ files, feed }, url.pathname, request, response)
    answered.catch((error: unknown) => {
      if (response.headersSent) response.destroy()
      else refuse(request, response, { status: 500, message: toMessage(error) })
    })
  })
  return {
    url: `http://${HOST}:${bound}/?token=${guard.token}`,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await Promise.all([closed, feed.close()])
    },
  }
}

function parseUrl(url: string | undefined): URL | undefined {
  return url?.startsWith('/') === true && URL.canParse(`http://${HOST}${url}`) ? new URL(`http://${HOST}${url}`) : undefined
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  refusal: { readonly status: number; readonly message: string; readonly headers?: object } = {
    status: 404,
    message: 'Not found.',
  },
): void {
  const { status, message, headers } = refusal
  request.resume()
  response.writeHead(status, { ...securityHeaders, 'content-type': 'text/plain; charset=utf-8', ...headers })
  response.end(`${message}\n`)
}

async function answerPage(
  { files, feed }: { readonly files: ReadonlyMap<string, PageFile>; readonly feed: EventFeed },
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  if (path === '/events') return tellEvents(feed, request, response)
  const file = files.get(path === '/' ? 'index.html' : path.slice(1))
  if (file === undefined) return refuse(request, response)
  response.writeHead(200, { ...securityHeaders, 'content-type': file.type, 'content-length': file.bytes.byteLength })
  response.end(file.bytes)
}

function tellEvents(feed: EventFeed, request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { ...securityHeaders, 'content-type': 'text/event-stream' })
  const lastId = request.headers['last-event-id']
  const unsubscribe = feed.subscribe(typeof lastId === 'string' ? lastId : undefined, ({ id, ...message }) => {
    response.write(`id: ${id}\ndata: ${JSON.stringify(message)}\n\n`)
  })
  response.write('retry: 500\ndata: {"type":"hello"}\n\n')
  const heartbeat = setInterval(() => response.write('data: {"type":"hello"}\n\n'), HEARTBEAT_MS)
  response.on('close', () => {
    clearInterval(heartbeat)
    unsubscribe()
  })
}

async function answerCall(api: DashboardApi, path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, folder, name = '', ...rest] = path.split('/')
  if (folder !== 'api' || rest.length > 0 || !isApiMethod(name) || apiMethods[name] === 'upload') return refuse(request, response)
  const call = await readCall(request)
  if (call === undefined)
    return refuse(request, response, { status: 400, message: 'Expected `{ "args": […] }` in JSON, of at most 16 MB.' })
  const { args, whole } = call
  const gone = new AbortController()
  response.on('close', () => gone.abort())
  response.writeHead(200, { ...securityHeaders, 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  const write = async (line: unknown): Promise<void> => {
    if (gone.signal.aborted || response.write(`${JSON.stringify(line)}\n`)) return
    await once(response, 'drain', { signal: gone.signal }).catch(() => {}) // gone: the iteration is ended by it
  }
  try {
    const method = (api[name] as Method).bind(api) // by the table, one with these arguments
    if (!isMethodName(name) || apiMethods[name] === 'value') await write(toJsonView(await method(...args), { whole }))
    else {
      const items = method(...toLiveArguments(name, args, gone.signal)) as AsyncIterable<unknown>
      for await (const item of items) {
        await write(toJsonView(item, { whole }))
        if (gone.signal.aborted) return
      }
    }
    await write({ end: true })
  } catch (error) {
    await write({ error: toWireError(error) })
  } finally {
    response.end()
  }
}

/** Undefined: it is none, or too large. */
async function readCall(
  request: IncomingMessage,
): Promise<{ readonly args: readonly unknown[]; readonly whole: boolean } | undefined> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  if (bytes > MAX_BODY_BYTES) return undefined
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
    if (typeof body !== 'object' || body === null || !('args' in body) || !Array.isArray(body.args)) return undefined
    return { args: body.args, whole: 'whole' in body && body.whole === true }
  } catch {
    return undefined
  }
}
