import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { type MeterProvider, type TracerProvider, trace } from '@opentelemetry/api'
import type { CommitFacts } from '../persistence/commit.ts'
import type { Content } from '../runtime/content-channel.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { createMeters } from './metrics.ts'
import { createSpanWriter } from './spans.ts'

/** Where traces and metrics of a runtime go, and what is in them. */
export interface TelemetryOptions {
  /** Default: the global one. */
  readonly tracerProvider?: TracerProvider | undefined
  /** Default: the global one. */
  readonly meterProvider?: MeterProvider | undefined
  /**
   * Whether spans hold system prompts, prompts, answers, arguments, results and the messages of errors. Without, of an error they have its code or its
   * class. Default: false.
   */
  readonly content?: boolean | undefined
}

/** What {@link traceRuntime} began. */
export interface Telemetry extends Disposable {
  /** Stops listening. Spans that are open end, and are marked as interrupted. Flushing them is up to the provider. Safe to call twice. */
  unsubscribe(): void
}

/**
 * Tells OpenTelemetry what a runtime does, from now on: a trace for each run, which continues over restarts, and metrics. Spans and metrics follow the
 * semantic conventions for generative AI. The runtime is not disturbed by it, and nothing is written to its store.
 *
 * What goes on as soon as a runtime is opened is heard in full with `autoResume: false`, and {@link Runtime.resume} after this.
 *
 * @example
 * ```ts
 * import { openRuntime } from 'perdure'
 * import { traceRuntime } from 'perdure/otel'
 *
 * await using runtime = await openRuntime({ directory: '.perdure' })
 * using telemetry = traceRuntime(runtime)
 * ```
 */
export function traceRuntime(runtime: Runtime, options: TelemetryOptions = {}): Telemetry {
  const { tracerProvider, meterProvider, content = false } = options
  if (typeof content !== 'boolean')
    throw new TypeError(`Expected \`content\` to be true or false, got \`${String(content)}\` (${typeof content})`)
  const spans = createSpanWriter((tracerProvider ?? trace).getTracer('perdure'))
  const meters = createMeters(meterProvider)
  const { directory } = runtime
  const onCommit = (message: unknown): void => {
    const facts = message as CommitFacts // only we publish there
    if (facts.directory === directory) meters.commit(facts)
  }
  const onContent = (message: unknown): void => {
    const told = message as Content // only we publish there
    if (told.directory === directory) spans.hearContent(told)
  }
  const events = runtime.subscribe((event) => {
    spans.hear(event)
    meters.hear(event)
  })
  subscribe('perdure.commit', onCommit)
  if (content) subscribe('perdure.content', onContent)
  let isOver = false
  const telemetry: Telemetry = {
    unsubscribe() {
      if (isOver) return
      isOver = true
      events.unsubscribe()
      unsubscribe('perdure.commit', onCommit)
      unsubscribe('perdure.content', onContent)
      spans.close()
    },
    [Symbol.dispose]: () => telemetry.unsubscribe(),
  }
  return telemetry
}
