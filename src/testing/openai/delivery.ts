import type { ServerResponse } from 'node:http'
import { forever, orAborted, type Sleep } from '../pause.ts'
import type { Fault } from '../script.ts'
import type { Tape } from '../tape.ts'
import { type ApiError, toStatusError } from './api-error.ts'
import { type Frame, toFirstHalf } from './wire-answer.ts'
import type { WireApi } from './wire-api.ts'

/** Where an answer goes, and how fast. */
export interface Delivery {
  readonly response: ServerResponse
  /** Aborts when the client has gone or the server closes. */
  readonly signal: AbortSignal
  readonly sleep: Sleep
  readonly chunkDelayMs: number
}

const streamHeaders = { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' }
const halved: readonly unknown[] = ['stall', 'cut', 'malformed', 'stream-error'] satisfies Fault[]

/** Plays the faults that let no byte of an answer through. Tells whether there was one. */
export async function deliverFault(fault: Fault | undefined, { response, signal }: Delivery): Promise<boolean> {
  if (typeof fault === 'object') {
    const body = fault.body ?? toStatusError(fault.status)
    await sendText(response, fault.status, typeof body === 'string' ? body : JSON.stringify(body), fault.headers)
  } else if (fault === 'disconnect') response.socket?.resetAndDestroy()
  else if (fault === 'hang') await orAborted(forever, signal)
  else return false
  return true
}

/**
 * Streams what is made in the background, from this event on, up to the fault of the connection: the answer goes on without it.
 */
export async function relayFrames(
  { frames, planned }: { readonly frames: Tape<Frame>; readonly planned: readonly Frame[] },
  from: number,
  fault: Exclude<Fault, 'stream-error'> | undefined,
  { response, signal }: Delivery,
): Promise<void> {
  response.writeHead(200, streamHeaders)
  response.flushHeaders()
  const last = toSent(planned, fault).length
  let at = from
  if (at < last)
    for await (const frame of frames.read(from, signal)) {
      response.write(frame.text)
      at += 1
      if (at === last) break
    }
  if (fault === 'malformed') response.write('data: {"id":"resp_\n\n')
  await end(response, fault, signal)
}

/** Streams the frames, up to the fault. */
export async function deliverFrames(
  frames: readonly Frame[],
  fault: Fault | undefined,
  api: WireApi,
  { response, signal, sleep, chunkDelayMs }: Delivery,
): Promise<void> {
  response.writeHead(200, streamHeaders)
  response.flushHeaders()
  const sent = toSent(frames, fault)
  let isFirst = true
  for (const frame of sent) {
    if (frame.part === 'delta' && !isFirst && chunkDelayMs > 0) await orAborted(sleep(chunkDelayMs, signal), signal)
    if (frame.part === 'delta') isFirst = false
    response.write(frame.text)
  }
  if (fault === 'malformed') response.write('data: {"id":"chatcmpl-\n\n')
  if (fault === 'stream-error') response.write(api.toErrorEvent(toStatusError(500), sent.length))
  await end(response, fault, signal)
}

/** Writes the body in one piece, up to the fault. */
export async function deliverBody(body: object, fault: Fault | undefined, { response, signal }: Delivery): Promise<void> {
  if (fault === 'stream-error') return sendError(response, toStatusError(500))
  const text = fault === 'empty' ? '' : JSON.stringify(body)
  const half = text.slice(0, text.length / 2)
  if (fault === 'malformed') return sendText(response, 200, half)
  if (fault !== 'stall' && fault !== 'cut') return sendText(response, 200, text)
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) })
  response.write(half)
  await end(response, fault, signal)
}

/** Answers with an error of OpenAI's shape. */
export function sendError(response: ServerResponse, error: ApiError): Promise<void> {
  return sendText(response, error.status, JSON.stringify(error), error.headers)
}

/** Answers with this text, which is JSON unless a script says otherwise. */
export async function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), ...headers })
  response.end(text)
  await flushed(response)
}

function toSent(frames: readonly Frame[], fault: Fault | undefined): readonly Frame[] {
  if (fault === 'empty') return []
  if (fault === 'no-finish') return frames.filter((frame) => frame.part !== 'ending')
  if (!halved.includes(fault)) return frames
  return toFirstHalf(frames)
}

async function end(response: ServerResponse, fault: Fault | undefined, signal: AbortSignal): Promise<void> {
  if (fault === 'stall') await orAborted(forever, signal)
  if (fault === 'cut') {
    // The bytes before the cut arrive: an empty write is called back after them.
    await new Promise((resolve) => response.write(' ', resolve))
    response.destroy()
    return
  }
  response.end()
  await flushed(response)
}

/** Settles when the last byte is with the operating system, or the connection is gone. */
async function flushed(response: ServerResponse): Promise<void> {
  if (response.writableFinished || response.destroyed) return
  await new Promise((resolve) => {
    response.once('finish', resolve)
    response.once('close', resolve)
  })
}
