import type { AnswerReader } from './draft.ts'
import { AttemptFailure, abortedFailure } from './failure.ts'
import type { CallPlace } from './provider-error.ts'

/** A request that was sent: what the SDK returns. */
export interface Sent {
  withResponse(): Promise<{ readonly data: AsyncIterable<unknown>; readonly response: Response }>
}

/** One request on its way. */
export interface AttemptPlan {
  /** Starts the request; it ends when the signal aborts. */
  readonly send: (signal: AbortSignal) => Sent
  readonly reader: AnswerReader
  /** Names whatever the SDK threw. */
  readonly toFailure: (error: unknown) => AttemptFailure
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly place: CallPlace
}

/** Once the answer is complete only its usage can follow: a server that keeps the stream open is not waited for. */
const graceMs = 2_000

/**
 * Makes one request and feeds its answer to the reader, until the end of the stream. Errors: an `AttemptFailure`; what the
 * reader's callbacks throw passes through. Whether the answer is complete is for the reader to say.
 */
export async function attempt(plan: AttemptPlan): Promise<void> {
  const { reader, signal, place } = plan
  const controller = new AbortController()
  const stop = () => controller.abort()
  signal.addEventListener('abort', stop, { once: true })
  let timer = setTimeout(stop, plan.timeoutMs)
  const listen = (silenceMs: number) => {
    clearTimeout(timer)
    timer = setTimeout(stop, silenceMs)
  }
  // The SDK ends an aborted stream without an error: the reason is known only here.
  const check = () => {
    if (signal.aborted) throw abortedFailure(place.model, signal)
    if (controller.signal.aborted) throw silentFailure(plan)
  }
  /** Only what comes from the SDK is a failed attempt. An error of the code that reads is not, and does not pass through here. */
  async function* toEvents(): AsyncGenerator<unknown, void> {
    try {
      const { data: events, response } = await plan.send(controller.signal).withResponse()
      const type = response.headers.get('content-type') ?? ''
      if (/json/i.test(type)) return yield { whole: await readJson(response, place) }
      let count = 0
      for await (const event of events) {
        count += 1
        yield { event }
      }
      if (count === 0 && !controller.signal.aborted) throw noStream(place, type)
    } catch (error) {
      if (reader.isFinished()) return
      check()
      throw error instanceof AttemptFailure ? error : plan.toFailure(error)
    }
  }
  try {
    for await (const part of toEvents()) {
      if (!reader.isFinished()) check()
      read(reader, part)
      listen(reader.isFinished() ? graceMs : plan.timeoutMs)
    }
    if (!reader.isFinished()) check()
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
    controller.abort()
  }
}

function read(reader: AnswerReader, part: unknown): void {
  if (typeof part !== 'object' || part === null) return
  if ('whole' in part) reader.readWhole(part.whole)
  else if ('event' in part) reader.readEvent(part.event)
}

async function readJson(response: Response, place: CallPlace): Promise<unknown> {
  const text = await response.text()
  if (text.trim() === '') throw noStream(place, 'application/json, and empty')
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new AttemptFailure('MODEL_BAD_ANSWER', `${place.host} answered 200 with JSON that cannot be read. Ask again.`, {
      retry: 'few',
      cause,
      details: { ...place },
    })
  }
}

function noStream(place: CallPlace, type: string): AttemptFailure {
  const got = type === '' ? 'no content type' : type
  return new AttemptFailure(
    'MODEL_BAD_ANSWER',
    `${place.host} answered 200 for model "${place.model}" without an answer in it (${got}). Check that the base URL is that of the API (it usually ends in /v1).`,
    { retry: 'few', details: { ...place, contentType: type } },
  )
}

function silentFailure(plan: AttemptPlan): AttemptFailure {
  const { place, timeoutMs } = plan
  return new AttemptFailure(
    'MODEL_UNAVAILABLE',
    `${place.host} was silent for ${timeoutMs} ms while model "${place.model}" should answer. Try again later, or raise \`timeoutMs\`.`,
    { retry: 'often', details: { ...place, timeoutMs } },
  )
}
