/**
 * An answer that is made in the background goes on by itself when a connection breaks or this process dies. It keeps these:
 *
 * - What the provider has begun is fetched, never asked for again while it may still come.
 * - A cancellation ends it at the provider; a suspension leaves it running, for the next process fetches it.
 */
import type OpenAI from 'openai'
import { isSuspension } from '../suspension.ts'
import { type AttemptPlan, attempt, type Sent } from './attempt.ts'
import type { BackgroundReader } from './background-reader.ts'
import { toBackoffMs } from './backoff.ts'
import type { OpenAIConfiguration } from './configuration.ts'
import { AttemptFailure, abortedFailure } from './failure.ts'

/** An answer to wait for. */
export interface BackgroundPlan extends Omit<AttemptPlan, 'send' | 'reader'> {
  readonly reader: BackgroundReader
  readonly client: OpenAI
  readonly configuration: OpenAIConfiguration
  readonly include: ['reasoning.encrypted_content'] | undefined
  /** Asks; or the id of what an earlier call asked for. */
  readonly from: { readonly create: (signal: AbortSignal) => Sent } | { readonly responseId: string }
}

/** How often it is looked for an answer whose stream cannot be had. */
const pollMs = 1_000
/** How long a cancellation is waited for, and before it for the id. */
const cancelMs = 1_000

/**
 * Waits for an answer until the provider's last word on it. A connection that breaks is made again: at once when the answer got on meanwhile, else as
 * retries are, with their waits and up to their number.
 *
 * Errors: an `AttemptFailure`; one with `details.isGone` when the provider does not know the answer. A call that is cancelled, or whose answer cannot be
 * read, is cancelled at the provider too, by the best effort. One that is suspended, or whose provider cannot be reached, is left: it may still be fetched.
 */
export async function followBackground(plan: BackgroundPlan): Promise<void> {
  try {
    await follow(plan)
  } catch (error) {
    const { reader, client, signal } = plan
    const isUnavailable = error instanceof AttemptFailure && error.error.code === 'MODEL_UNAVAILABLE'
    const isLeft = isSuspension(signal) || isUnavailable || reader.isOver
    if (reader.responseId !== undefined && !isLeft) await cancel(client, reader.responseId)
    throw error
  }
}

/** Whether a failure says that the provider does not know the answer (any more). */
export function isGone(error: unknown): boolean {
  return error instanceof AttemptFailure && error.error.details.isGone === true
}

async function follow(plan: BackgroundPlan): Promise<void> {
  const { reader, configuration } = plan
  let failures = 0
  for (;;) {
    const before = reader.progress
    const failure = await connect(plan)
    if (failure === undefined) return
    failures = reader.progress > before ? 1 : failures + 1
    if (failures > configuration.maxRetries) throw asFinal(failure)
    const delayMs = failure.afterMs ?? (failures === 1 ? 0 : toBackoffMs(failures - 1, configuration.random))
    if (delayMs > 0) await pause(delayMs, plan)
  }
}

/** One connection, or as many looks as it takes. Returns a failure that another connection may mend, throws any other. */
async function connect(plan: BackgroundPlan): Promise<AttemptFailure | undefined> {
  const { reader, from, signal } = plan
  const toId = () => reader.responseId ?? ('responseId' in from ? from.responseId : undefined)
  try {
    if ('create' in from && toId() === undefined) await create(from.create, plan)
    const responseId = toId()
    // Without an id there is nothing to come back for: it is judged as an answer that broke off.
    if (reader.isFinished() || responseId === undefined) return undefined
    await fetchAnswer(responseId, plan)
    return reader.isFinished() ? undefined : brokenOff(plan)
  } catch (error) {
    const isMendable = error instanceof AttemptFailure && error.retry !== 'never' && !signal.aborted && !reader.isOver
    if (!isMendable || toId() === undefined) throw error
    return error
  }
}

/** Asks. A cancellation waits for the id, not for long: without it there is nothing to cancel, and the answer would be made and paid for. */
async function create(send: AttemptPlan['send'], plan: BackgroundPlan): Promise<void> {
  const { reader, signal } = plan
  const controller = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const stop = () => controller.abort(signal.reason)
  const onAbort = () => {
    if (isSuspension(signal)) return stop()
    timer = setTimeout(stop, cancelMs)
    void reader.known.then(stop)
  }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await attempt({ ...plan, signal: controller.signal, send })
  } catch (error) {
    throw signal.aborted ? abortedFailure(plan.place.model, signal) : error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
  if (signal.aborted && !reader.isFinished()) throw abortedFailure(plan.place.model, signal)
}

/** Looks how it is, then goes on with its stream; where there is none, looks again. */
async function fetchAnswer(responseId: string, plan: BackgroundPlan): Promise<void> {
  const { reader, client, include, timeoutMs } = plan
  const query = include === undefined ? {} : { include }
  for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += pollMs) {
    await attempt({
      ...plan,
      send: (signal) => toWhole(client.responses.retrieve(responseId, query, { signal }).asResponse()),
    }).catch((error: unknown) => {
      throw toGone(error, plan)
    })
    if (reader.isFinished()) return
    if (reader.canContinue && waitedMs === 0) {
      const after = reader.lastEvent === undefined ? {} : { starting_after: reader.lastEvent }
      try {
        return await attempt({
          ...plan,
          send: (signal) => client.responses.retrieve(responseId, { ...query, stream: true, ...after }, { signal }),
        })
      } catch (error) {
        if (!(error instanceof AttemptFailure && error.error.details.status === 400)) throw toGone(error, plan)
      }
    }
    await pause(pollMs, plan)
  }
}

/** An answer that is not streamed: its body is still to be read. */
function toWhole(sent: Promise<Response>): Sent {
  async function* none(): AsyncGenerator<never> {}
  return { withResponse: async () => ({ data: none(), response: await sent }) }
}

function toGone(error: unknown, { place }: BackgroundPlan): unknown {
  if (!(error instanceof AttemptFailure) || error.error.details.status !== 404) return error
  return new AttemptFailure(
    'MODEL_UNAVAILABLE',
    `${place.host} does not know the answer any more that it had begun. Ask again.`,
    {
      retry: 'few',
      cause: error.error,
      details: { ...place, isGone: true },
    },
  )
}

function brokenOff({ place }: BackgroundPlan): AttemptFailure {
  return new AttemptFailure(
    'MODEL_UNAVAILABLE',
    `The answer of model "${place.model}" does not come to an end at ${place.host}. Try again later.`,
    { retry: 'often', details: { ...place } },
  )
}

/** To ask again would be paid for again, so nobody does. */
function asFinal({ error, afterMs }: AttemptFailure): AttemptFailure {
  return new AttemptFailure(error.code, error.message, { retry: 'never', afterMs, cause: error.cause, details: error.details })
}

async function pause(delayMs: number, { configuration, signal, place }: BackgroundPlan): Promise<void> {
  await configuration.sleep(delayMs, signal).catch((error: unknown) => {
    if (!signal.aborted) throw error
  })
  if (signal.aborted) throw abortedFailure(place.model, signal)
}

async function cancel(client: OpenAI, responseId: string): Promise<void> {
  const signal = AbortSignal.timeout(cancelMs)
  // What is thrown is why the call ended; that the provider could not be told too changes nothing about it.
  await client.responses.cancel(responseId, { signal, timeout: cancelMs }).catch(() => {})
}
