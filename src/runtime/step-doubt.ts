import { z } from 'zod'
import type { DoubtPolicy, Recovery, RecoveryContext } from '../actors/doubt.ts'
import type { ParsedAnswer, Question } from '../actors/question.ts'
import type { StepDescription, StepOutcome } from '../actors/step.ts'
import { toMessage } from '../errors.ts'
import { questionKey } from '../persistence/keys.ts'
import type { RunLog, StepRecord } from '../persistence/run-log.ts'
import type { DoubtResolution } from '../persistence/run-record.ts'
import { doubtKey, toFailure } from './hand-settlement.ts'
import { toRecordedError } from './recorded-error.ts'
import type { Services } from './services.ts'
import { toAborted } from './turn.ts'

/** What became of a step in doubt: its outcome, or that it is to be executed. */
export interface DoubtResult<T> {
  readonly outcome?: StepOutcome<T> | undefined
  /** `undefined`: the outside world says that it had not begun. */
  readonly resolution?: DoubtResolution | undefined
}

/** What a person may say about a step in doubt. */
type DoubtAnswer = { readonly result: unknown } | { readonly error: string } | { readonly retry: true }

const Answer = z.union([
  z.strictObject({ result: z.unknown() }),
  z.strictObject({ error: z.string() }),
  z.strictObject({ retry: z.literal(true) }),
])

const answerSchema = {
  anyOf: [
    { type: 'object', properties: { result: {} }, required: ['result'], additionalProperties: false },
    { type: 'object', properties: { error: { type: 'string' } }, required: ['error'], additionalProperties: false },
    { type: 'object', properties: { retry: { const: true } }, required: ['retry'], additionalProperties: false },
  ],
}

/** Brings a step out of doubt, as its policy says (P3). After an abort of its signal only what the outside world has told of its outcome means something. */
export async function resolveDoubt<T>(
  services: Services,
  log: RunLog,
  step: StepDescription & { readonly checkpoint: string },
  { recover, onDoubt, report, toValue }: DoubtPolicy<T>,
  context: RecoveryContext,
): Promise<DoubtResult<T>> {
  const question = doubtKey(step.key, context.attempt)
  const asked = await log.loadStep(question) // before a restart
  // What a person has said stands, whatever the outside world says now.
  const isAnswered = asked?.status === 'ok'
  const recovery = recover === undefined || isAnswered ? ({ status: 'unknown' } as const) : await tryRecovery(recover, context)
  if (context.signal.aborted) return recovery.status === 'settled' ? toRecovered(recovery) : {}
  const result = isAnswered ? undefined : toResult(recovery, onDoubt, report)
  if (result !== undefined) {
    if (asked?.status === 'intended') withdraw(services, log, question, asked)
    return result
  }
  const detail = 'detail' in recovery ? recovery.detail : undefined
  const answer = await askAbout(services, log, step, context, detail)
  if ('retry' in answer) return { resolution: 'retried' }
  const outcome: StepOutcome<T> =
    'error' in answer
      ? (toFailure(step, answer.error) as StepOutcome<T>) // what a tool's step, or any other, settles with
      : { status: 'ok', value: toValue(answer.result) }
  return { outcome, resolution: 'answered' }
}

/** What is done without a person; `undefined`: one has to be asked. */
function toResult<T>(
  recovery: Recovery<T>,
  onDoubt: DoubtPolicy<T>['onDoubt'],
  report: DoubtPolicy<T>['report'],
): DoubtResult<T> | undefined {
  if (recovery.status === 'notStarted') return {}
  if (recovery.status === 'settled') return toRecovered(recovery)
  if (onDoubt === 'retry') return { resolution: 'retried' }
  return onDoubt === 'report' ? { outcome: report(recovery.detail), resolution: 'reported' } : undefined
}

function toRecovered<T>(recovery: Extract<Recovery<T>, { status: 'settled' }>): DoubtResult<T> {
  const outcome: StepOutcome<T> =
    'value' in recovery ? { status: 'ok', value: recovery.value } : { status: 'error', error: recovery.error }
  return { outcome, resolution: 'recovered' }
}

/** Nobody needs the answer any more. On disk with what is committed next. */
function withdraw({ now }: Services, log: RunLog, question: string, asked: StepRecord): void {
  const error = toRecordedError(toAborted('The question', undefined))
  log.putStep(question, { ...asked, status: 'error', endedAt: now(), error })
  log.stage({ type: 'del', key: questionKey(log.id, question) })
}

async function tryRecovery<T>(recover: NonNullable<DoubtPolicy<T>['recover']>, context: RecoveryContext): Promise<Recovery<T>> {
  try {
    return await recover(context)
  } catch (error) {
    return { status: 'unknown', detail: `Finding out failed: ${toMessage(error)}` }
  }
}

/** Waits for a person, for as long as it takes. */
async function askAbout(
  { questions }: Services,
  log: RunLog,
  { key, name, kind, data, checkpoint }: StepDescription & { readonly checkpoint: string },
  { attempt, signal }: RecoveryContext,
  detail: string | undefined,
): Promise<DoubtAnswer> {
  const written = typeof data === 'object' && data !== null && 'arguments' in data ? String(data.arguments) : undefined
  const question: Question<DoubtAnswer> = {
    kind: 'doubt',
    text: `The process ended while ${kind} \`${name}\` ran, and its outcome is not known. What did it come to?${detail === undefined ? '' : `\n${detail}`}`,
    schema: answerSchema,
    call: written === undefined ? undefined : { name, arguments: written },
    parse(answer): ParsedAnswer<DoubtAnswer> {
      const parsed = Answer.safeParse(answer)
      if (!parsed.success) return { ok: false, message: 'Expected `{ result }`, `{ error }` or `{ retry: true }`' }
      return { ok: true, value: parsed.data }
    },
  }
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => resolve({ retry: true }), { once: true })
    questions.ask(
      log,
      { key: doubtKey(key, attempt), name, checkpoint },
      question,
      (outcome) => (outcome.status === 'ok' ? resolve(outcome.value) : reject(outcome.error)),
      signal,
    )
  })
}
