import { PerdureError } from '../errors.ts'
import type { StepRecord } from '../persistence/run-log.ts'

export const toStepUnknown = (run: string, id: string): PerdureError =>
  new PerdureError(
    'STEP_UNKNOWN',
    `The run \`${run}\` has no open question or step \`${id}\`. \`runtime.pending()\` lists what waits for a person, \`run.steps()\` all steps of a run.`,
    { details: { run, id } },
  )

/** `isSame`: what it was settled with is what is said now. */
export const toStepSettled = (run: string, id: string, { endedAt }: StepRecord, isSame: boolean): PerdureError =>
  new PerdureError(
    'STEP_SETTLED',
    `\`${id}\` of run \`${run}\` has been answered already${isSame ? ', with the same' : ', with something else'}. What was said first counts.`,
    { details: { run, id, answeredAt: endedAt, isSame } },
  )

export const toAnswerInvalid = (run: string, id: string, issues: string): PerdureError =>
  new PerdureError(
    'ANSWER_INVALID',
    `The answer to \`${id}\` of run \`${run}\` does not fit, and the run goes on waiting:\n${issues}`,
    {
      details: { run, id, issues },
    },
  )
