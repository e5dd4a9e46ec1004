/**
 * Runs as traces and metrics of OpenTelemetry.
 *
 * @module perdure/otel
 */
export { createIdGenerator, type IdGenerator } from './ids.ts'
export { type Telemetry, type TelemetryOptions, traceRuntime } from './trace-runtime.ts'
