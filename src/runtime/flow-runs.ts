import type { AsyncLocalStorage } from 'node:async_hooks'
import type { EventObject } from 'xstate'
import { PerdureError } from '../errors.ts'
import type { FlowScope } from './flow.ts'
import { cancelFlow, type RunningFlow } from './flow-cancel.ts'
import { createFlowInboxes, type FlowInboxes } from './flow-inbox.ts'
import { type FlowRequest, runFlow } from './flow-run.ts'
import type { Services } from './services.ts'

/** The runs of all flows of one open runtime. */
export interface FlowRuns extends Pick<FlowInboxes, 'takeMessages'> {
  /** See `Flow.run`. Asked for twice at a time, it is one run. */
  run<TInput, TOutput>(request: FlowRequest<TInput, TOutput>): Promise<TOutput>
  /** Whether this process executes it. */
  isRunning(id: string): boolean
  /** Resolves when the event is on disk; see `FlowInboxes.send`. */
  send(id: string, event: EventObject, eventId?: string): Promise<void>
  /** See `cancelFlow`. */
  cancel(id: string, reason?: string): Promise<void>
  /** Resolves when none is executed any more. Never rejects. */
  settled(): Promise<void>
}

interface Running extends RunningFlow {
  readonly name: string
  readonly inputHash: string
}

/** `services`: all of them, by the time a flow is run. */
export function createFlowRuns(services: () => Services, scopes: AsyncLocalStorage<FlowScope>): FlowRuns {
  const running = new Map<string, Running>()
  let opened: FlowInboxes | undefined
  const inboxes = (): FlowInboxes => {
    opened ??= createFlowInboxes(services())
    return opened
  }
  return {
    async run<TInput, TOutput>(request: FlowRequest<TInput, TOutput>): Promise<TOutput> {
      const { id, name, inputHash } = request
      await services().claims.whenNotBrief(id)
      const known = running.get(id)
      if (known !== undefined) {
        const conflict = (what: string): PerdureError =>
          new PerdureError('RUN_CONFLICT', `The run \`${id}\` ${what}. Choose another id.`, { details: { run: id } })
        if (known.name !== name || known.inputHash !== inputHash) throw conflict('is running with another flow or input')
        if (scopes.getStore()?.isWithin(id)) throw conflict('is asked for from within: it would wait for itself')
        return known.result as Promise<TOutput> // of the same flow and input
      }
      const release = services().claims.claim(id)
      const cancelling = new AbortController()
      const result = runFlow(services(), scopes, { ...request, cancelling: cancelling.signal }, inboxes()).finally(() => {
        running.delete(id)
        release()
      })
      running.set(id, { name, inputHash, result, cancelling })
      return result
    },
    isRunning: (id) => running.has(id),
    send: (id, event, eventId) => inboxes().send(id, event, eventId),
    takeMessages: (id) => inboxes().takeMessages(id),
    cancel: (id, reason) => cancelFlow(services(), inboxes(), running, id, reason),
    async settled() {
      await Promise.allSettled([...running.values()].map(({ result }) => result))
    },
  }
}
