import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { orAborted, pauseBefore, type Sleep, sleep } from '../pause.ts'
import { type Playback, toPlayback } from '../playback.ts'
import type { Fault, Script } from '../script.ts'
import { ApiError, toApiError } from './api-error.ts'
import { toConversationKey } from './conversation-key.ts'
import { type Delivery, deliverBody, deliverFault, deliverFrames, sendError, sendText } from './delivery.ts'
import { type Ledger, type ServerFetch, type ServerRejection, type ServerRequest, toLedger } from './ledger.ts'
import { type Asked, type Gate, parseRequest } from './request.ts'
import { createStoredAnswers, type StoredAnswers } from './stored-answers.ts'
import type { Finish } from './wire-answer.ts'

/** What an {@link openaiServer} says, to whom, and how fast. */
export interface OpenAIServerOptions extends Gate {
  /** What it answers. Requests that it refuses do not count. */
  readonly script: Script
  /** Default: one that is free. */
  readonly port?: number
  /** How long every answer lets wait for its first byte, in milliseconds. Default 0. */
  readonly delayMs?: number
  /** The wait between two pieces of a stream, in milliseconds. Default 0. */
  readonly chunkDelayMs?: number
  /** A file that gets a line per request received and per answer sent: {@link LedgerLine}. A test in another process can read it. */
  readonly ledgerFile?: string
  /** What waits. Default: the real clock. */
  readonly sleep?: Sleep
}

/** A running server. */
export interface OpenAIServer extends AsyncDisposable {
  /** `http://127.0.0.1:<port>/v1` */
  readonly url: string
  /** The requests that it understood, in order. */
  readonly requests: readonly ServerRequest[]
  /** Who came back for an answer in the background. What is fetched is not asked for again: it is not paid twice. */
  readonly fetches: readonly ServerFetch[]
  /** The requests that it refused. */
  readonly rejections: readonly ServerRejection[]
  /** Throws when answers of the script were never asked for, more was asked than it has, or something else than an answer's `expect` takes. */
  readonly done: () => void
  /** Breaks every connection and waits until nothing runs. */
  readonly close: () => Promise<void>
}

interface House {
  readonly playback: Playback
  readonly ledger: Ledger
  readonly options: OpenAIServerOptions
  readonly stored: StoredAnswers
}

/**
 * Serves a script over HTTP on loopback, as OpenAI serves a model: Chat Completions and Responses, streamed or not, and the
 * list of models. It refuses what OpenAI refuses, so that a conversation which would fail there fails here.
 *
 * A response in the background is made whether or not its client is still there; it can be looked at, streamed from any event on, and cancelled, for as
 * long as the server runs. Its faults are those of the connection that asked, except `stream-error`, which fails the response.
 *
 * A request that the script has no answer for is a 400 with the number of the request; what the script's function throws is
 * a 500. Nothing of an answer depends on the process or the clock. Rejects when the port is taken.
 *
 * @example
 * ```ts
 * import { openaiServer } from 'perdure/testing'
 *
 * await using server = await openaiServer({ script: ['Hello.'] })
 * process.env.OPENAI_BASE_URL = server.url
 * ```
 */
export async function openaiServer(options: OpenAIServerOptions): Promise<OpenAIServer> {
  const ledger = toLedger(options.ledgerFile)
  const house: House = { playback: toPlayback(options.script), ledger, options, stored: createStoredAnswers(ledger, options) }
  const busy = new Set<Promise<void>>()
  const server = createServer((request, response) => {
    const work = serve(request, response, house).finally(() => busy.delete(work))
    busy.add(work)
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) resolve(address.port)
    })
  })
  const close = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve))
    server.closeAllConnections()
    await closed
    await Promise.all(busy)
    await house.stored.close()
  }
  return {
    url: `http://127.0.0.1:${port}/v1`,
    requests: ledger.requests,
    rejections: ledger.rejections,
    fetches: ledger.fetches,
    done: house.playback.done,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Never rejects: a failure is an answer, or the client has gone. */
async function serve(request: IncomingMessage, response: ServerResponse, house: House): Promise<void> {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  const { chunkDelayMs = 0, sleep: wait = sleep } = house.options
  const delivery: Delivery = { response, signal: gone.signal, sleep: wait, chunkDelayMs }
  try {
    const asked = await understand(request, house)
    if (asked.type === 'models') await sendText(response, 200, JSON.stringify(asked.body))
    else if (asked.type === 'answer') await answer(asked, delivery, house)
    else await house.stored.serve(asked, delivery)
  } catch (error) {
    if (gone.signal.aborted) return
    if (response.headersSent) response.destroy()
    else await sendError(response, toApiError(error))
  }
}

async function understand(request: IncomingMessage, { ledger, options, stored }: House): Promise<Asked> {
  try {
    const asked = await parseRequest(request, options)
    if ('responseId' in asked && !stored.has(asked.responseId))
      throw new ApiError(404, `Response with id '${asked.responseId}' not found.`)
    return asked
  } catch (thrown) {
    const { status, message } = toApiError(thrown)
    ledger.reject({ method: request.method ?? '', path: request.url ?? '', status, message })
    throw thrown
  }
}

async function answer(
  { api, body, request }: Extract<Asked, { type: 'answer' }>,
  delivery: Delivery,
  { playback, ledger, options, stored }: House,
): Promise<void> {
  const { response, signal } = delivery
  const key = toConversationKey(request)
  response.setHeader('x-request-id', `req_${key.slice(0, 32)}`)
  const received = ledger.receive({ api: api.name, key, request, body })
  const isBackground = body.background === true && api.name === 'responses'
  const played = await (isBackground ? playback.next(request) : orAborted(playback.next(request), signal))
  const { fault } = played
  const facts = { key, request, body, played, finish: toFinish(fault) }
  if (isBackground && played.error === undefined) return stored.begin(facts, received, delivery)
  await pauseBefore(played, options.delayMs ?? 0, delivery.sleep, signal)
  if (played.error !== undefined) throw played.error
  if (await deliverFault(fault, delivery)) return
  if (body.stream === true) await deliverFrames(api.toFrames(facts), fault, api, delivery)
  else await deliverBody(api.toBody(facts), fault, delivery)
  const isWhole = fault === undefined || fault === 'length' || fault === 'refusal'
  if (isWhole && response.writableFinished) ledger.answer(received)
}

function toFinish(fault: Fault | undefined): Finish {
  return fault === 'length' || fault === 'refusal' ? fault : fault === 'no-finish' ? 'none' : 'stop'
}
