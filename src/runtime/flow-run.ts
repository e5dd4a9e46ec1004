import type { AsyncLocalStorage } from 'node:async_hooks'
import { PerdureError } from '../errors.ts'
import { createRunLog, openRunLog, type RunLog } from '../persistence/run-log.ts'
import { type Attempt, createAttempt, FlowHead } from './attempt.ts'
import type { FlowContext, FlowFunction, FlowOptions, FlowScope } from './flow.ts'
import { createFlowSleeps, toSleep, toSleepUntil } from './flow-sleep.ts'
import { createFlowSteps } from './flow-steps.ts'
import { createFlowTurns } from './flow-turns.ts'
import { unheard } from './listener.ts'
import { parseRecorded } from './recorded.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'
import { toAborted } from './turn.ts'

/** What identifies a run of a flow. */
export interface FlowRequest<TInput, TOutput> {
  readonly id: string
  readonly name: string
  readonly input: TInput
  readonly inputHash: string
  readonly fn: FlowFunction<TInput, TOutput>
  readonly options: FlowOptions
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
): Promise<TOutput> {
  const { id, name, input, fn, options } = request
  const { emit, now, closing } = services
  const useRecords = options.cache !== false
  // The request is only compared with what is recorded; its types do not matter there.
  const log = await openLog(services, request as FlowRequest<unknown, unknown>)
  await log.loadSteps()
  if (log.head.status === 'completed' && useRecords) {
    emit({ type: 'run.reused', runId: id, name, completedAt: log.head.updatedAt })
    return log.step(OUTPUT)?.value as TOutput // what the function had returned
  }

  const startedAt = now()
  const previous = readHead(log)
  const generation = useRecords ? previous.generation : previous.generation + 1
  const minimum = useRecords ? previous.minimum : generation
  let head: FlowHead = { ...previous, attempt: previous.attempt + 1, generation, minimum }
  log.update({ status: 'running', endedAt: undefined, data: head })
  const record = { kind: 'flow', name, status: 'ok', attempt: 1, startedAt, endedAt: startedAt } as const
  if (log.step(INPUT) === undefined) log.putStep(INPUT, { ...record, value: input })
  await log.commit()

  const ending = new AbortController()
  const signal = AbortSignal.any([ending.signal, closing, ...(options.signal === undefined ? [] : [options.signal])])
  const attempt: Attempt = createAttempt(log, head, { useRecords, signal })
  const turns = createFlowTurns(services, attempt)
  const context: FlowContext = {
    runId: id,
    attempt: head.attempt,
    signal,
    step(stepName, stepFn) {
      const run = async () => {
        scopes.getStore()?.assertNotInStep(`Step \`${stepName}\``)
        return steps(stepName, (stepContext) => scopes.run(toStepScope(scope, id, stepName), () => stepFn(stepContext)))
      }
      return unheard(run())
    },
    sleep: (ms) => sleep(() => toSleep(ms)),
    sleepUntil: (time) => sleep(() => toSleepUntil(time)),
  }
  const sleeps = createFlowSleeps(services, log, attempt)
  const sleep = (toWait: () => Parameters<typeof sleeps>[0]): Promise<void> => {
    const run = async () => {
      scopes.getStore()?.assertNotInStep('A sleep')
      return sleeps(toWait())
    }
    return unheard(run())
  }
  const steps = createFlowSteps(services, log, attempt)
  const outer = scopes.getStore()
  const scope: FlowScope = {
    isWithin: (runId) => runId === id || outer?.isWithin(runId) === true,
    assertNotInStep: () => {},
    runTurn: turns.run,
  }
  emit({ type: 'run.started', runId: id, name, attempt: head.attempt })

  const finish = async (): Promise<void> => {
    attempt.end()
    ending.abort()
    await turns.stop()
  }
  try {
    const output = await untilAborted(signal, id, () => scopes.run(scope, () => fn(input, context)))
    await finish()
    const endedAt = now()
    log.putStep(OUTPUT, { ...record, endedAt, value: output })
    log.update({ status: 'completed', endedAt })
    await log.commit()
    emit({ type: 'run.completed', runId: id, name, durationMs: now() - startedAt, receipt: attempt.book.receipt })
    return output
  } catch (error) {
    const interrupted = closing.aborted || options.signal?.aborted === true
    await finish()
    head = { ...readHead(log), failedAttempt: head.attempt }
    if (!interrupted) {
      // A store that cannot be written to leaves the run as a crash would; the function's own error is what matters then.
      await recordFailure(log, head, now(), toRecordedError(error)).catch(() => {})
    }
    emit({ type: 'run.failed', runId: id, name, durationMs: now() - startedAt, receipt: attempt.book.receipt, error })
    throw error
  }
}

async function recordFailure(log: RunLog, head: FlowHead, endedAt: number, error: Error): Promise<void> {
  log.update({ status: 'failed', endedAt, data: { ...head, error } })
  await log.commit()
}

/** Inside of `flow.step`: what it does is recorded as a whole, so nothing in it can be a checkpoint of its own. */
function toStepScope({ isWithin }: FlowScope, runId: string, step: string): FlowScope {
  const refuse = (what: string): never => {
    throw new PerdureError(
      'STEP_NESTED',
      `${what} was asked for inside of step \`${step}\` of run \`${runId}\`. A step is recorded as a whole: move it out of \`flow.step\`.`,
      { details: { run: runId, step } },
    )
  }
  return { isWithin, assertNotInStep: refuse, runTurn: async (agent) => refuse(`A turn of \`${agent.profile.name}\``) }
}

/** Settles as `run` does, or fails once `signal` aborts, even if the function does not listen to it. */
async function untilAborted<T>(signal: AbortSignal, id: string, run: () => Promise<T>): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(toAborted(`Run \`${id}\``, signal))
  if (signal.aborted) throw toAborted(`Run \`${id}\``, signal)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([run(), aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
    aborted.promise.catch(() => {})
  }
}
