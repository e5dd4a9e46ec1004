import type { StepDescription, StepOutcome } from '../actors/step.ts'
import { fromCallData, toHandMessage } from '../actors/tool-message.ts'
import { PerdureError } from '../errors.ts'
import type { ToolMessage } from '../machines/conversation.ts'
import { questionKey } from '../persistence/keys.ts'
import { openRunLog, type StepRecord } from '../persistence/run-log.ts'
import { toStepSettled, toStepUnknown } from './answer-errors.ts'
import { toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'

/** The key of the question about an attempt at a step that is in doubt. */
export const doubtKey = (step: string, attempt: number): string => `${step}/doubt/${attempt}`

/** What a person says that a step in doubt came to: what it returned, or what it failed with. */
export type HandOutcome = { readonly result: unknown } | { readonly error: string }

/** Errors: a `TypeError`. */
export function parseHandOutcome(value: unknown): HandOutcome {
  if (typeof value === 'object' && value !== null) {
    if ('result' in value) return { result: value.result }
    if ('error' in value && typeof value.error === 'string') return { error: value.error }
  }
  throw new TypeError('Expected an outcome to be `{ result }` or `{ error }` with a text')
}

/**
 * Settles a step that is in doubt: with the question that its policy put to a person, or, while its run is not in memory, in its journal. On disk when the promise
 * resolves; the run takes it when it goes on.
 *
 * Errors: `STEP_UNKNOWN`, `STEP_SETTLED`, `RUN_NOT_FOUND`, `RUN_CONFLICT` (the run is in memory, and its policy takes care of the step), `VALUE_NOT_STORABLE`.
 */
export async function settleByHand(services: Services, runId: string, key: string, outcome: HandOutcome): Promise<void> {
  const known = await readStep(services, runId, key)
  assertInDoubt(runId, key, known)
  const question = doubtKey(key, known.attempt)
  if (services.questions.isOpen(runId, question)) return services.questions.answer(runId, question, outcome)
  await services.claims.briefly(runId, async () => {
    const log = await openRunLog(services, runId)
    const record = await log?.loadStep(key)
    if (log === undefined || record === undefined) throw toStepUnknown(runId, key)
    assertInDoubt(runId, key, record) // another may have been first
    assertCanSettle(key, record)
    const settled = {
      ...record,
      retryAt: undefined,
      endedAt: services.now(),
      aborted: undefined,
      resolution: 'answered',
    } as const
    if ('error' in outcome)
      log.putStep(key, { ...settled, value: undefined, error: undefined, ...toFailure(record, outcome.error) })
    else log.putStep(key, { ...settled, status: 'ok', value: toValue(record, outcome.result), error: undefined })
    const asked = await log.loadStep(question)
    if (asked?.status === 'intended') {
      log.putStep(question, { ...asked, status: 'ok', endedAt: services.now(), value: outcome })
      log.stage({ type: 'del', key: questionKey(runId, question) })
    }
    await log.commit() // P1
  })
}

function assertInDoubt(runId: string, key: string, record: StepRecord): void {
  if (record.status === 'ok' || (record.status === 'error' && record.aborted !== true))
    throw toStepSettled(runId, key, record, false)
}

async function readStep(services: Services, runId: string, key: string): Promise<StepRecord> {
  const log = await openRunLog(services, runId)
  if (log === undefined) throw toNotFound(runId)
  const record = await log.loadStep(key)
  if (record === undefined) throw toStepUnknown(runId, key)
  return record
}

/** What the step would have settled with. */
function toValue({ kind, name, data }: StepRecord, result: unknown): unknown {
  if (kind === 'step') return result
  return toHandMessage(fromCallData(name, data), { result })
}

function assertCanSettle(key: string, { kind }: StepRecord): void {
  if (kind === 'step' || kind === 'tool') return
  throw new PerdureError(
    'STEP_UNKNOWN',
    `\`${key}\` is of the kind \`${kind}\`, which cannot be settled by hand: it goes on when its run does.`,
  )
}

/** Of a tool that failed the model is told; anything else throws. */
export function toFailure(
  { kind, name, data }: Pick<StepDescription, 'kind' | 'name' | 'data'>,
  error: string,
): StepOutcome<ToolMessage> {
  if (kind === 'tool') return { status: 'ok', value: toHandMessage(fromCallData(name, data), { error }) }
  return { status: 'error', error: new Error(error) }
}
