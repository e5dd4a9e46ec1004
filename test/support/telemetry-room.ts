import { type Attributes, SpanStatusCode } from '@opentelemetry/api'
import {
  AggregationTemporality,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  type Sampler,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { createIdGenerator } from 'perdure/otel'

/** An SDK whose spans and metrics stay in memory. */
export interface TelemetryRoom {
  readonly tracerProvider: BasicTracerProvider
  readonly meterProvider: MeterProvider
  /** Those that have ended, in the order of their ends. */
  readonly spans: () => ReadableSpan[]
  readonly find: (name: string) => ReadableSpan
  /** The value of a counter, or the sum of a histogram, over the series whose attributes hold these. */
  readonly sum: (metric: string, attributes?: Attributes) => Promise<number>
}

/** `isNamed`: with `createIdGenerator()`. Default: true. */
export function createTelemetryRoom({ isNamed = true, sampler }: { isNamed?: boolean; sampler?: Sampler } = {}): TelemetryRoom {
  const exporter = new InMemorySpanExporter()
  const tracerProvider = new BasicTracerProvider({
    spanProcessors: [new SimpleSpanProcessor(exporter)],
    ...(isNamed ? { idGenerator: createIdGenerator() } : {}),
    ...(sampler === undefined ? {} : { sampler }),
  })
  const metricExporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  const reader = new PeriodicExportingMetricReader({ exporter: metricExporter, exportIntervalMillis: 3_600_000 })
  const meterProvider = new MeterProvider({ readers: [reader] })
  const spans = (): ReadableSpan[] => exporter.getFinishedSpans()
  return {
    tracerProvider,
    meterProvider,
    spans,
    find(name) {
      const found = spans().findLast((span) => span.name === name)
      if (found === undefined) throw new Error(`No span \`${name}\` among: ${spans().map((span) => span.name)}`)
      return found
    },
    async sum(metric, attributes = {}) {
      metricExporter.reset()
      await meterProvider.forceFlush()
      const series = metricExporter
        .getMetrics()
        .flatMap(({ scopeMetrics }) => scopeMetrics)
        .flatMap(({ metrics }) => metrics)
        .filter(({ descriptor }) => descriptor.name === metric)
        .flatMap(({ dataPoints }): { attributes: Attributes; value: unknown }[] => [...dataPoints])
      return series
        .filter((point) => Object.entries(attributes).every(([name, value]) => point.attributes[name] === value))
        .reduce((sum, { value }) => sum + (typeof value === 'number' ? value : ((value as { sum?: number }).sum ?? 0)), 0)
    },
  }
}

/** `name < name of its parent`, with what failed marked. */
export const toTree = (spans: readonly ReadableSpan[]): string[] =>
  spans.map(({ name, parentSpanContext, status }) => {
    const parent = spans.find((span) => span.spanContext().spanId === parentSpanContext?.spanId)
    return `${name} < ${parent?.name ?? '–'}${status.code === SpanStatusCode.ERROR ? ` (${status.message})` : ''}`
  })
