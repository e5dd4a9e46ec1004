import type { AsyncLocalStorage } from 'node:async_hooks'
import { isPerdureError, PerdureError } from '../errors.ts'
import { createRunLog, openRunLog, type RunLog } from '../persistence/run-log.ts'
import { type Attempt, createAttempt, FlowHead, toEnding } from './attempt.ts'
import type { FlowFunction, FlowOptions, FlowScope } from './flow.ts'
import { recordCancellation, toCancelled } from './flow-cancel.ts'
import { createFlowContext } from './flow-context.ts'
import type { FlowInboxes } from './flow-inbox.ts'
import { createFlowTurns } from './flow-turns.ts'
import { parseRecorded } from './recorded.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'

/** What identifies a run of a flow. */
export interface FlowRequest<TInput, TOutput> {
  readonly id: string
  readonly name: string
  readonly input: TInput
  readonly inputHash: string
  readonly fn: FlowFunction<TInput, TOutput>
  readonly options: FlowOptions
  /** Aborts with a `RUN_CANCELLED` to cancel the run. */
  readonly cancelling?: AbortSignal | undefined
}

const INPUT = 'flow/input'
const OUTPUT = 'flow/output'

const readHead = (log: RunLog): FlowHead => parseRecorded(FlowHead, log.head.data, log.id, 'head')

async function openLog(services: Services, request: FlowRequest<unknown, unknown>): Promise<RunLog> {
  const { id, name, inputHash } = request
  const log = await openRunLog(services, id)
  if (log === undefined) {
    const head: FlowHead = { inputHash, attempt: 0, failedAttempt: 0, generation: 0, minimum: 0 }
    return createRunLog(services, { id, kind: 'flow', name, data: head })
  }
  const conflict = (what: string): PerdureError =>
    new PerdureError('RUN_CONFLICT', `The run \`${id}\` ${what}. Choose another id.`, { details: { run: id } })
  if (log.head.kind !== 'flow' || log.head.name !== name)
    throw conflict(`is the ${log.head.kind} \`${log.head.name}\`, not the flow \`${name}\``)
  if (readHead(log).inputHash !== inputHash) throw conflict('was started with another input')
  return log
}

/** Executes the function of a flow, or goes on with an earlier attempt at it: see `Flow.run`. */
export async function runFlow<TInput, TOutput>(
  services: Services,
  scopes: AsyncLocalStorage<FlowScope>,
  request: FlowRequest<TInput, TOutput>,
  inboxes: FlowInboxes,
): Promise<TOutput> {
  const { id, name, input, fn, options, cancelling } = request
  const { emit, now, closing } = services
  const useRecords = options.cache !== false
  // The request is only compared with what is recorded; its types do not matter there.
  const log = await openLog(services, request as FlowRequest<unknown, unknown>)
  await log.loadSteps()
  const previous = readHead(log)
  if (log.head.status === 'completed' && useRecords) {
    emit({ type: 'run.reused', runId: id, name, completedAt: log.head.updatedAt })
    return log.step(OUTPUT)?.value as TOutput // what the function had returned
  }
  if (log.head.status === 'cancelled' && useRecords) throw toCancelled(id, previous.reason)

  const startedAt = now()
  const generation = useRecords ? previous.generation : previous.generation + 1
  const minimum = useRecords ? previous.minimum : generation
  let head: FlowHead = { ...previous, attempt: previous.attempt + 1, generation, minimum, reason: undefined }
  log.update({ status: 'running', endedAt: undefined, data: head })
  const record = { kind: 'flow', name, status: 'ok', attempt: 1, startedAt, endedAt: startedAt } as const
  if (log.step(INPUT) === undefined) log.putStep(INPUT, { ...record, value: input })
  await log.commit()

  const ending = new AbortController()
  const given = [cancelling, options.signal].filter((signal) => signal !== undefined)
  const signal = AbortSignal.any([ending.signal, closing, services.committer.failed, ...given])
  const attempt: Attempt = createAttempt(log, head, { useRecords, signal })
  const turns = createFlowTurns(services, attempt, { id, createdAt: log.head.createdAt, limits: options.limits })
  const inbox = inboxes.open(id)
  const { context, scope } = createFlowContext({ services, scopes, log, attempt, turns, inbox }, head.attempt)
  emit({ type: 'run.started', runId: id, runCreatedAt: log.head.createdAt, name, attempt: head.attempt })

  const finish = async (reason?: unknown): Promise<void> => {
    attempt.end()
    ending.abort(reason)
    await turns.stop()
  }
  try {
    const output = await untilAborted(signal, id, () => scopes.run(scope, () => fn(input, context)))
    await finish()
    const endedAt = now()
    log.putStep(OUTPUT, { ...record, endedAt, value: output })
    log.update({ status: 'completed', endedAt })
    await inbox.end(() => log.commit())
    emit({ type: 'run.completed', runId: id, name, durationMs: now() - startedAt, receipt: attempt.book.receipt })
    return output
  } catch (error) {
    const isCancelled = isPerdureError(error, 'RUN_CANCELLED') && error === cancelling?.reason
    const isInterrupted = closing.aborted || options.signal?.aborted === true
    // A store that is no more ends this process's part only: what can outlive us is left alone.
    await finish(isPerdureError(error) && error.code.startsWith('STORE_') ? error : undefined)
    // A store that cannot be written to leaves the run as a crash would; the function's own error is what matters then.
    if (isCancelled) await inbox.end(() => recordCancellation(services, log, error))
    else if (isInterrupted) await log.commit().catch(() => {})
    else {
      head = { ...readHead(log), failedAttempt: head.attempt }
      await recordFailure(log, head, now(), toRecordedError(error)).catch(() => {})
    }
    emit({ type: 'run.failed', runId: id, name, durationMs: now() - startedAt, receipt: attempt.book.receipt, error })
    throw error
  } finally {
    services.streams.end(id)
    inbox.close()
  }
}

async function recordFailure(log: RunLog, head: FlowHead, endedAt: number, error: Error): Promise<void> {
  log.update({ status: 'failed', endedAt, data: { ...head, error } })
  await log.commit()
}

/** Settles as `run` does, or fails once `signal` aborts, even if the function does not listen to it. */
async function untilAborted<T>(signal: AbortSignal, id: string, run: () => Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(toEnding(id, signal))
  if (signal.aborted) throw toEnding(id, signal)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([run(), aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    aborted.promise.catch(() => {})
  }
}
