import { PerdureError } from '../errors.ts'
import { loadHead, openRunLog, type RunLog } from '../persistence/run-log.ts'
import { FlowHead } from './attempt.ts'
import { cancelConversations } from './child-cancel.ts'
import type { FlowInboxes } from './flow-inbox.ts'
import { createReceiptBook } from './receipt.ts'
import { parseRecorded } from './recorded.ts'
import { toEnded, toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'
import { withdrawQuestions } from './withdrawal.ts'

/** A run of a flow that this process executes. */
export interface RunningFlow {
  readonly result: Promise<unknown>
  /** Its signal is the request's `cancelling`. */
  readonly cancelling: AbortController
}

/** The error of a run that was cancelled. */
export const toCancelled = (run: string, reason: string | undefined): PerdureError =>
  new PerdureError(
    'RUN_CANCELLED',
    `Run \`${run}\` was cancelled${reason === undefined ? '' : `: ${reason}`}. What had settled is kept; \`{ cache: false }\` begins it anew.`,
    { details: { run, reason } },
  )

/**
 * Cancels the run of a flow, whether or not it is being executed: what it does at the moment is ended (model streams, commands), its open questions are withdrawn,
 * its conversations stop. When it resolves, that is on disk. If the process dies before, the run may go on: cancel it again.
 *
 * Errors: `RUN_NOT_FOUND`, `RUN_ENDED`, `RUN_CONFLICT`, `STORE_*`.
 */
export async function cancelFlow(
  services: Services,
  inboxes: FlowInboxes,
  running: ReadonlyMap<string, RunningFlow>,
  id: string,
  reason?: string,
): Promise<void> {
  const flow = running.get(id)
  const error = toCancelled(id, reason)
  if (flow !== undefined) {
    flow.cancelling.abort(error) // of two that cancel it, the first says why
    const failure = await flow.result.then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    if (failure === flow.cancelling.signal.reason) return
    const head = await loadHead(services.store, id)
    if (head?.status === 'running') throw failure // the store, or the process, came to its end first
    throw toEnded(id)
  }
  await services.claims.briefly(id, async () => {
    const log = await openRunLog(services, id)
    if (log === undefined) throw toNotFound(id)
    const { kind, name, endedAt } = log.head
    if (kind !== 'flow')
      throw new PerdureError('RUN_CONFLICT', `The run \`${id}\` is the ${kind} \`${name}\`, not a flow.`, {
        details: { run: id },
      })
    if (endedAt !== undefined) throw toEnded(id)
    await inboxes.end(id, () => recordCancellation(services, log, error))
    const { receipt } = createReceiptBook()
    services.emit({ type: 'run.failed', runId: id, name, durationMs: 0, receipt, error })
  })
}

/** Records that a flow was cancelled, which nobody executes any more. Its conversations first: whoever reads that it is cancelled finds them stopped. */
export async function recordCancellation(services: Services, log: RunLog, error: PerdureError): Promise<void> {
  const { now } = services
  await cancelConversations(services, log.id, error)
  await withdrawQuestions(services, log, error)
  const { reason } = error.details
  const head = parseRecorded(FlowHead, log.head.data, log.id, 'head')
  const data: FlowHead = { ...head, reason: typeof reason === 'string' ? reason : undefined }
  log.update({ status: 'cancelled', endedAt: now(), data })
  await log.commit()
}
