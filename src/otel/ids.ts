/**
 * Ids of spans that every process works out alike, from the run's id and when it was created: so that what a later process traces of a run is in the trace that
 * an earlier one began, and can name its spans.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Span } from '@opentelemetry/api'

interface SpanIds {
  readonly traceId: string
  readonly spanId: string
}

/** What the next span that is started is to have. Starting one is synchronous, so no other comes between. */
let planned: SpanIds | undefined

/** Starts a span with these ids, if the SDK's generator is {@link createIdGenerator}'s; with ids of its own if not. */
export function startWithIds(ids: SpanIds, start: () => Span): Span {
  planned = ids
  try {
    return start()
  } finally {
    planned = undefined
  }
}

/** The ids of something in a trace; of the run itself without `parts`. */
export function toIds(traceId: string, ...parts: readonly (string | number)[]): SpanIds {
  return { traceId, spanId: hash([traceId, ...parts], 16) }
}

/** The id of a run's trace: the same in every process. A run that begins under the id of one that was deleted has another. */
export const toTraceId = (runId: string, createdAt: number): string => hash([runId, createdAt], 32)

const hash = (parts: readonly (string | number)[], length: number): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, length)

/** What the SDK's option `idGenerator` takes. */
export interface IdGenerator {
  generateTraceId(): string
  generateSpanId(): string
}

/**
 * An id generator for the OpenTelemetry SDK. With it the trace of a run has a root span, and what a resume does links to the attempt before it, also to one of another process. Spans
 * that are not of runs have random ids, as ever.
 *
 * @example
 * ```ts
 * const provider = new BasicTracerProvider({ idGenerator: createIdGenerator(), spanProcessors })
 * ```
 */
export function createIdGenerator(): IdGenerator {
  return {
    generateTraceId: () => planned?.traceId ?? randomBytes(16).toString('hex'),
    generateSpanId: () => planned?.spanId ?? randomBytes(8).toString('hex'),
  }
}
