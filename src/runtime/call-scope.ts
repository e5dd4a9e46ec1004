import { AsyncLocalStorage } from 'node:async_hooks'
import type { ChildAgents } from './child-agent.ts'
import type { Spend } from './spend.ts'

/** The call of a durable run that code is executed in: an agent that works for it belongs to that run. */
export interface CallScope {
  readonly agents: ChildAgents
  readonly runId: string
  /** The key of the step within the run. */
  readonly step: string
  /** What the call returns was paid for before, in part. */
  readonly onReused: (spend: Spend) => void
}

/** Of the module, not of a runtime: a tool finds the runtime that executes it, whichever that is. */
export const callScope = new AsyncLocalStorage<CallScope>()

/**
 * The scope of the call whose context has that `key`. A call that something without a runtime executes has none, wherever that is itself executed: its key is another.
 */
export function findScope(key: string): CallScope | undefined {
  const scope = callScope.getStore()
  return scope !== undefined && key === `${scope.runId}#${scope.step}` ? scope : undefined
}

/** The key of the call of that run that this code is executed for, if it is. */
export function findStep(runId: string): string | undefined {
  const scope = callScope.getStore()
  return scope?.runId === runId ? scope.step : undefined
}
