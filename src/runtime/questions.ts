import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import type { Question, QuestionKind } from '../actors/question.ts'
import type { StepOutcome } from '../actors/step.ts'
import { isSuspension } from '../actors/suspension.ts'
import { isPerdureError } from '../errors.ts'
import { encodeRecord } from '../persistence/codec.ts'
import { questionKey } from '../persistence/keys.ts'
import { loadHead, openRunLog, type RunLog, type StepRecord } from '../persistence/run-log.ts'
import { toStorable } from '../persistence/storable.ts'
import { toAnswerInvalid, toStepSettled, toStepUnknown } from './answer-errors.ts'
import type { EmittedEvent } from './events.ts'
import { gone } from './machine-activation.ts'
import { MACHINE } from './machine-head.ts'
import { parseRecorded } from './recorded.ts'
import { toRecordedError } from './recorded-error.ts'
import { toNotFound } from './run-errors.ts'
import type { Services } from './services.ts'
import { toAborted } from './turn.ts'

/**
 * What waits for a person. A question is a step of its run's journal: intended while it waits, settled with the answer as it was given. So it survives restarts, can
 * be answered whether or not its run is in memory, and is answered once (P1, P2).
 */
export interface Questions {
  /**
   * Asks, or goes on waiting, or takes the answer that was given meanwhile. Calls `settle` once, in the same stretch in which a new answer is recorded (P5). Not
   * any more when `signal` aborts: a cancellation withdraws the question, a suspension leaves it open for the next process.
   */
  ask<T>(
    log: RunLog,
    step: AskedStep,
    question: Question<T>,
    settle: (outcome: StepOutcome<T>) => void,
    signal: AbortSignal,
  ): void
  /** Resolves when the answer is on disk. Errors: `STEP_UNKNOWN`, `STEP_SETTLED`, `ANSWER_INVALID`, `RUN_NOT_FOUND`, `VALUE_NOT_STORABLE`. */
  answer(runId: string, id: string, value: unknown): Promise<void>
  /** Whether the question is open and its run in memory. */
  isOpen(runId: string, id: string): boolean
  /** A run was let go of: its records can be written by whoever answers. */
  readonly onReleased: () => void
}

interface AskedStep {
  /** Names the question within its run. */
  readonly key: string
  readonly name: string
  /** The checkpoint that the run is in; empty for a machine. */
  readonly checkpoint: string
  /** What else is recorded with it. */
  readonly data?: Readonly<Record<string, unknown>> | undefined
  /** Nothing more is recorded of it, and that is on disk. */
  readonly onClosed?: (() => void) | undefined
}

/** What is recorded of a question. */
export const QuestionData = z.looseObject({
  text: z.string(),
  schema: z.record(z.string(), z.unknown()),
  call: z.object({ name: z.string(), arguments: z.string() }).optional(),
  refused: z.string().optional(),
})

const questionKinds: readonly QuestionKind[] = ['approval', 'question', 'doubt', 'limit']
export const isQuestion = ({ kind }: StepRecord): boolean => (questionKinds as readonly string[]).includes(kind)

interface OpenQuestion {
  /** False: it was closed meanwhile. Ask again what has become of it. */
  answer(value: unknown): Promise<boolean>
}

export interface QuestionsOptions {
  /** Asked for when it is used: they hold the questions too. */
  readonly services: () => Services
  /** Brings the run of a machine into memory; resolves when what that led to is on disk. */
  readonly activate: (runId: string) => Promise<void>
  /** Drops a conversation from memory that has no turn under way. */
  readonly passivate: (runId: string) => void
}

const toPlace = (runId: string, id: string): string => `${runId}\0${id}`

export function createQuestions({ services: toServices, activate, passivate }: QuestionsOptions): Questions {
  const emit = (event: EmittedEvent): void => toServices().emit(event)
  const now = (): number => toServices().now()
  const open = new Map<string, OpenQuestion>()
  /** Resolves when a question is opened or closed, or a run was let go of. */
  let change = Promise.withResolvers<void>()
  const onChange = (): void => {
    change.resolve()
    change = Promise.withResolvers<void>()
  }

  const ask: Questions['ask'] = (log, step, question, settle, signal) => {
    const { key, name, checkpoint } = step
    const place = toPlace(log.id, key)
    const about = { runId: log.id, checkpoint, key, kind: question.kind, name }
    let isClosed = false

    const record = (attempt: number, startedAt: number, refused?: string): StepRecord => ({
      kind: question.kind,
      name,
      status: 'intended',
      attempt,
      startedAt,
      data: { ...step.data, text: question.text, schema: question.schema, call: question.call, refused },
    })
    const put = (next: StepRecord): void => {
      log.putStep(key, next)
      const index = questionKey(log.id, key)
      log.stage(
        next.status === 'intended' ? { type: 'put', key: index, value: encodeRecord(index, null) } : { type: 'del', key: index },
      )
    }
    const close = (): void => {
      if (isClosed) return
      isClosed = true
      open.delete(place)
      signal.removeEventListener('abort', withdraw)
      onChange()
    }
    function withdraw(): void {
      close()
      const current = log.step(key)
      if (isSuspension(signal) || current?.status !== 'intended') return
      put({ ...current, status: 'error', endedAt: now(), error: toRecordedError(toAborted('The question', signal)) })
      emit({ type: 'question.withdrawn', ...about })
      log.commit().then(step.onClosed, () => {}) // a store that fails tells whoever follows the run
    }
    const wait = (current: StepRecord): void => {
      open.set(place, {
        async answer(value) {
          toStorable(value)
          const parsed = await question.parse(value)
          if (isClosed) {
            await log.commit().catch(() => {}) // what closed it is on disk then
            return false
          }
          if (!parsed.ok) throw toAnswerInvalid(log.id, key, parsed.message)
          close()
          put({ ...current, status: 'ok', endedAt: now(), value })
          emit({ type: 'question.answered', ...about })
          settle({ status: 'ok', value: parsed.value })
          await log.commit() // P1
          step.onClosed?.()
          return true
        },
      })
      onChange()
    }

    if (signal.aborted) return
    signal.addEventListener('abort', withdraw, { once: true })
    const known = log.step(key)
    if (known?.status === 'intended') return wait(known)
    const begin = (refused?: string): void => {
      const next = record((known?.attempt ?? 0) + 1, now(), refused)
      put(next)
      wait(next)
      log.commit().then(
        () => isClosed || emit({ type: 'question.asked', ...about, text: question.text }),
        () => {}, // whoever follows the run's commits hears of it
      )
    }
    if (known?.status !== 'ok') return begin()
    // Given while nobody was here to check it in full.
    const take = async (): Promise<void> => {
      const parsed = await question.parse(known.value)
      if (isClosed || signal.aborted) return
      if (!parsed.ok) return begin(parsed.message)
      close()
      settle({ status: 'ok', value: parsed.value })
    }
    take().catch((error: unknown) => settle({ status: 'error', error }))
  }

  /** Answers a question whose run is not in memory. */
  const answerOnDisk = async (runId: string, id: string, value: unknown): Promise<void> => {
    const log = await openRunLog(toServices(), runId)
    const current = await log?.loadStep(id)
    if (log === undefined) throw toNotFound(runId)
    assertOpen(runId, id, current, value)
    const { schema } = parseRecorded(QuestionData, current.data, runId, `question \`${id}\``)
    const issue = checkBySchema(schema, value)
    if (issue !== undefined) throw toAnswerInvalid(runId, id, issue)
    log.putStep(id, { ...current, status: 'ok', endedAt: now(), value })
    log.stage({ type: 'del', key: questionKey(runId, id) })
    await log.commit()
    emit({ type: 'question.answered', runId, checkpoint: '', key: id, kind: current.kind, name: current.name })
  }

  return {
    ask,
    isOpen: (runId, id) => open.has(toPlace(runId, id)),
    onReleased: onChange,
    async answer(runId, id, value) {
      toStorable(value)
      const services = toServices()
      for (;;) {
        const next = change.promise
        if ((await open.get(toPlace(runId, id))?.answer(value)) === true) return
        if (services.closing.aborted) throw services.closing.reason
        const head = await loadHead(services.store, runId)
        if (head === undefined) throw toNotFound(runId)
        assertOpen(runId, id, await (await openRunLog(services, runId))?.loadStep(id), value)
        if (head.endedAt !== undefined && head.status !== 'failed') throw toStepUnknown(runId, id)
        try {
          if (head.kind === MACHINE) {
            await activate(runId)
            if (!open.has(toPlace(runId, id)) && !isBeingResolved(services, runId, id)) throw toStepUnknown(runId, id)
          } else {
            return await services.claims.briefly(runId, () => answerOnDisk(runId, id, value))
          }
        } catch (error) {
          if (error !== gone && !isPerdureError(error, 'RUN_CONFLICT')) throw error
          if (!services.turns.has(runId)) passivate(runId)
        }
        // Its run is in memory, and has not come to the question yet.
        if (!open.has(toPlace(runId, id))) await next
      }
    },
  }
}

/** Whether a step that is in doubt is on its way to ask that question. */
const isBeingResolved = ({ running }: Services, runId: string, id: string): boolean =>
  [...running].some((place) => `${runId}#${id}`.startsWith(`${place}/`))

/** Errors: `STEP_UNKNOWN`, `STEP_SETTLED`. */
function assertOpen(run: string, id: string, record: StepRecord | undefined, value: unknown): asserts record is StepRecord {
  if (record === undefined || !isQuestion(record)) throw toStepUnknown(run, id)
  if (record.status === 'error') throw toStepUnknown(run, id)
  if (record.status === 'ok') throw toStepSettled(run, id, record, isDeepStrictEqual(record.value, value))
}

/** What is wrong with an answer, as far as its JSON Schema tells. */
export function checkBySchema(schema: Readonly<Record<string, unknown>>, value: unknown): string | undefined {
  let checked: z.ZodType
  try {
    checked = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]) // made by `z.toJSONSchema`, or written in its form
  } catch {
    return undefined // what it cannot express is checked by the code that asked
  }
  const result = checked.safeParse(value)
  return result.success ? undefined : z.prettifyError(result.error)
}
