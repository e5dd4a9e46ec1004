import { AsyncLocalStorage } from 'node:async_hooks'
import type { Services } from './services.ts'

/** The call of a durable run that code is executed in: an agent that works for it belongs to that run. */
export interface CallScope {
  readonly services: Services
  readonly runId: string
  /** The key of the step within the run. */
  readonly step: string
}

/** Of the module, not of a runtime: a tool finds the runtime that executes it, whichever that is. */
export const callScope = new AsyncLocalStorage<CallScope>()
