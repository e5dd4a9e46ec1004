import type { EventObject } from 'xstate'
import { isPerdureError } from '../errors.ts'
import { loadHead, openRunLog } from '../persistence/run-log.ts'
import { cancelConversations } from './child-cancel.ts'
import { toEnded, toNotFound } from './run-errors.ts'
import { sendToTurn } from './running-turns.ts'
import type { Services } from './services.ts'
import { toAborted } from './turn.ts'
import { withdrawQuestions } from './withdrawal.ts'

/** What can be done from outside with the runs of flows and the conversations of agents. */
export interface OtherRuns {
  /** Whether this process executes the flow of that run. */
  isFlowRunning(runId: string): boolean
  send(runId: string, event: EventObject, eventId: string | undefined): Promise<void>
  cancel(runId: string, reason: string | undefined): Promise<void>
}

export interface OtherRunsOptions {
  readonly services: Services
  readonly isFlowRunning: (runId: string) => boolean
  readonly sendToFlow: (runId: string, event: EventObject, eventId: string | undefined) => Promise<void>
  readonly cancelFlow: (runId: string, reason: string | undefined) => Promise<void>
}

export function createOtherRuns({ services, isFlowRunning, sendToFlow, cancelFlow }: OtherRunsOptions): OtherRuns {
  const isFlow = async (runId: string): Promise<boolean> => {
    const head = await loadHead(services.store, runId)
    if (head === undefined) throw toNotFound(runId)
    return head.kind === 'flow'
  }
  /** A turn that no process executes any more does not go on by itself: what it left is ended. */
  const cancelConversation = async (runId: string): Promise<void> => {
    await services.claims.briefly(runId, async () => {
      const log = await openRunLog(services, runId)
      if (log === undefined) throw toNotFound(runId)
      if (log.head.status !== 'running') throw toEnded(runId)
      await services.files?.remove(runId)
      const error = toAborted(`Run \`${runId}\``, undefined)
      await cancelConversations(services, runId, error)
      await withdrawQuestions(services, log, error)
      log.update({ status: 'cancelled' })
      await log.commit()
    })
  }
  return {
    isFlowRunning,
    async send(runId, event, eventId) {
      // Two events that are sent one after the other stay so: nothing is read first.
      if (isFlowRunning(runId) || (await isFlow(runId))) await sendToFlow(runId, event, eventId)
      else await sendToTurn(services.turns, runId, event)
    },
    async cancel(runId, reason) {
      if (await isFlow(runId)) return cancelFlow(runId, reason)
      const turn = services.turns.get(runId)
      if (turn !== undefined) return turn.abort()
      await cancelConversation(runId).catch((error: unknown) => {
        throw isPerdureError(error, 'RUN_CONFLICT') ? toEnded(runId) : error // it is in memory, and nothing of it is under way
      })
    },
  }
}
