import type { NonReducibleUnknown, PromiseActorLogic } from 'xstate'
import { PerdureError } from '../errors.ts'
import type { Question } from './question.ts'
import { type Description, toStepLogic } from './step.ts'

/**
 * Actor logic that asks a person: a step that somebody else does. It is done with the answer; a run that waits for nothing else takes no
 * memory.
 */
export function toQuestionLogic<TOutput, TInput extends NonReducibleUnknown>(
  describe: (
    input: TInput,
    hash: (text: string) => string,
  ) => Pick<Description<TOutput>, 'key' | 'name' | 'isAgain'> & { readonly question: Question<TOutput> },
): PromiseActorLogic<TOutput, TInput> {
  return toStepLogic<TOutput, TInput>(
    (input, _, hash) => {
      const described = describe(input, hash)
      return { ...described, kind: described.question.kind, effect: false }
    },
    () => Promise.reject(new PerdureError('NOBODY_TO_ASK', 'A question is answered, not executed.')),
  )
}
