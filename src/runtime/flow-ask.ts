import { z } from 'zod'
import { toIssueLines, toIssues } from '../actors/issues.ts'
import type { ParsedAnswer, Question } from '../actors/question.ts'
import type { StepOutcome } from '../actors/step.ts'
import { isPerdureError } from '../errors.ts'
import type { RunLog } from '../persistence/run-log.ts'
import { type Attempt, Standing, toEnding } from './attempt.ts'
import type { Branch } from './flow-branch.ts'
import type { Checkpoints } from './flow-checkpoint.ts'
import type { Services } from './services.ts'
import { NO_SPEND } from './spend.ts'

/** A question as it is recorded: the rest is the room's where questions are asked. */
const Asked = Standing.extend({ text: z.string() })

/** The questions of one attempt at a flow: see `FlowContext.ask`. */
export function createFlowQuestions(
  services: Services,
  log: RunLog,
  attempt: Attempt,
  checkpoints: Checkpoints,
): <T>(branch: Branch, text: string, schema: z.ZodType<T>) => Promise<T> {
  const { questions, now, emit } = services
  const { runId, signal } = attempt

  return async <T>(branch: Branch, text: string, schema: z.ZodType<T>): Promise<T> => {
    const question = toQuestion(text, schema)
    const found = checkpoints.find(branch, 'ask', 'ask', Asked)
    // A question that was withdrawn has no answer: it is asked again, as one that was cut off.
    const recorded = found.recorded?.status === 'error' ? ({ ...found.recorded, status: 'intended' } as const) : found.recorded
    const { key, name, minimum, record, data } = found
    const isAnswered = record?.status === 'ok'
    const answer = isAnswered ? await question.parse(record.value) : undefined
    const isOther = data !== undefined && data.text !== text
    const judged = attempt.judge(recorded, minimum, isAnswered && (isOther || answer?.ok === false))
    if (judged === 'reuse' && answer?.ok === true) {
      checkpoints.reuse(found)
      return answer.value
    }
    const startedAt = now()
    const reason = judged === 'reuse' ? 'changed' : judged
    const standing = await attempt.place(reason, recorded, minimum)
    attempt.assertOpen(`The question \`${text}\``)
    // Another question, or the same one after something before it has changed: what is recorded is no answer to it.
    if (isOther || reason === 'after-change' || reason === 'no-cache') log.deleteStep(key)
    const outcome = new Promise<StepOutcome<T>>((resolve, reject) => {
      signal.addEventListener('abort', () => reject(toEnding(runId, signal)), { once: true })
      questions.ask(log, { key, name, checkpoint: name, data: standing }, question, resolve, signal)
    })
    outcome.catch(() => {}) // when the next line throws
    const about = { runId, checkpoint: name, kind: 'step' } as const
    try {
      await log.commit() // the question outlives the process from here on
      checkpoints.started(found, reason === 'resumed' && isOther ? 'changed' : reason)
      const settled = await outcome
      await log.commit() // P1
      if (settled.status === 'error') throw settled.error
      attempt.assertOpen(`The answer to \`${text}\``)
      attempt.book.finish()
      emit({
        type: 'checkpoint.finished',
        ...about,
        spent: NO_SPEND,
        reused: NO_SPEND,
        durationMs: Math.max(0, now() - startedAt),
      })
      return settled.value
    } catch (error) {
      if (!isPerdureError(error, 'ABORTED') && !isPerdureError(error, 'FLOW_ENDED'))
        emit({ type: 'checkpoint.failed', ...about, spent: NO_SPEND, durationMs: Math.max(0, now() - startedAt), error })
      throw error
    } finally {
      branch.settle(standing)
    }
  }
}

/** Errors: a `TypeError`. */
function toQuestion<T>(text: unknown, schema: z.ZodType<T>): Question<T> & { parse(value: unknown): Promise<ParsedAnswer<T>> } {
  if (typeof text !== 'string' || text === '')
    throw new TypeError(
      `Expected the question of \`flow.ask\` to be a non-empty string, got \`${String(text)}\` (${typeof text})`,
    )
  if (typeof schema?.safeParseAsync !== 'function')
    throw new TypeError(`Expected \`schema\` of \`flow.ask\` to be a zod schema, got ${typeof schema}`)
  return {
    kind: 'question',
    text,
    // What JSON Schema cannot express is checked when it is answered.
    schema: JSON.parse(JSON.stringify(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))),
    async parse(value) {
      const parsed = await schema.safeParseAsync(value)
      if (parsed.success) return { ok: true, value: parsed.data }
      return { ok: false, message: toIssueLines(toIssues(parsed.error, value)).join('\n') }
    },
  }
}
