import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** One answer as it goes over the wire. */
export interface WireAnswer {
  readonly status?: number
  /** Default: an event stream. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Bytes in one write; default: the body in one. */
  readonly pieceBytes?: number
  /** What follows the body: its end (default), a reset connection, or silence. */
  readonly ending?: 'end' | 'cut' | 'hold'
}

/** A request as it arrived. */
export interface WireRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Readonly<Record<string, unknown>>
}

export interface WireServer {
  readonly baseUrl: string
  readonly requests: readonly WireRequest[]
  close(): Promise<void>
}

/** A loopback server that gives the answers in order; the last one again when they are used up. */
export async function createWireServer(...answers: readonly WireAnswer[]): Promise<WireServer> {
  const requests: WireRequest[] = []
  const server = createServer(async (incoming, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)]
    const pieces: Buffer[] = []
    for await (const piece of incoming) pieces.push(piece)
    const text = Buffer.concat(pieces).toString()
    const body = text === '' ? {} : JSON.parse(text)
    requests.push({ method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers, body })
    await writeAnswer(response, answer ?? {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // A listening TCP server has an address with a port.
  const { port } = server.address() as AddressInfo
  return {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    requests,
    close: () => {
      server.closeAllConnections()
      return new Promise((resolve) => server.close(() => resolve()))
    },
  }
}

async function writeAnswer(response: ServerResponse, answer: WireAnswer): Promise<void> {
  const { status = 200, headers = { 'content-type': 'text/event-stream' }, body = '', pieceBytes, ending = 'end' } = answer
  response.writeHead(status, headers)
  response.flushHeaders()
  response.socket?.setNoDelay(true)
  const bytes = Buffer.from(body)
  const step = pieceBytes ?? Math.max(1, bytes.length)
  for (let at = 0; at < bytes.length && !response.destroyed; at += step) {
    await new Promise<void>((resolve) => response.write(bytes.subarray(at, at + step), () => resolve()))
  }
  if (ending === 'end') response.end()
  if (ending === 'cut') response.socket?.resetAndDestroy()
}

/** An answer of events, each a line of data; strings go as they are. */
export function toSse(...events: readonly unknown[]): string {
  return events.map((event) => `data: ${typeof event === 'string' ? event : JSON.stringify(event)}\n\n`).join('')
}

/** A Responses event stream: each event with its name. */
export function toNamedSse(
  ...events: readonly (object & { readonly type: string; readonly [field: string]: unknown })[]
): string {
  return events.map((event) => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`).join('')
}

/** A JSON answer. */
export function toJsonAnswer(body: unknown, status = 200, headers: Readonly<Record<string, string>> = {}): WireAnswer {
  return { status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}
