import { PerdureError } from '../errors.ts'
import type { ModelInput, ModelLogic } from '../machines/agent.ts'
import type { ModelAnswer } from '../machines/conversation.ts'
import { type DoubtPolicy, type Recovery, toDoubtError } from './doubt.ts'
import type { Model, ModelCallContext, ModelRequest } from './model.ts'
import { parseModelAnswer } from './model-answer.ts'
import type { ModelProgress } from './progress.ts'
import { estimateInputTokens, watchSpend } from './spend-watch.ts'
import { type StepContext, toStepLogic } from './step.ts'

/** What is noted of an answer that is under way: where it can be had after a crash. */
interface Noted {
  readonly responseId: string
}

/**
 * Actor logic that asks `model` for the next answer: what the slot `model` of the agent machine takes. A step without outside effect. In doubt, an answer
 * that the provider goes on with by itself is fetched by its id; any other is asked for again.
 */
export function fromModel(model: Model, base: Omit<ModelRequest, 'messages' | 'output'>): ModelLogic {
  const toRequest = ({ messages, output }: ModelInput): ModelRequest => ({
    ...base,
    messages,
    ...(output === undefined ? {} : { output: { name: output.name, schema: output.schema } }),
  })

  /** Asks, and ends what is asked as soon as it uses more than what is left. */
  const watched = async (
    input: ModelInput,
    context: StepContext,
    ask: (request: ModelRequest, context: ModelCallContext) => Promise<ModelAnswer | undefined>,
  ): Promise<ModelAnswer | undefined> => {
    const report = (value: ModelProgress): void => context.progress(value)
    const request = toRequest(input)
    const limit = new AbortController()
    const watch = watchSpend(input.remaining, request, model, () => limit.abort(watch.reached))
    try {
      const answer = await ask(request, {
        signal: AbortSignal.any([context.signal, limit.signal]),
        onText(delta) {
          report({ type: 'text', delta })
          watch.add(delta)
        },
        onArguments(piece) {
          report({ type: 'arguments', ...piece })
          watch.add(piece.delta)
        },
        onRetry(retry) {
          report({ type: 'retry', ...retry })
          watch.restart()
        },
        onResponse(responseId) {
          const noted: Noted = { responseId }
          context.note(noted)
        },
      })
      return answer === undefined ? undefined : parseModelAnswer(base.model, answer)
    } catch (error) {
      const reached = context.signal.aborted ? undefined : await watch.toError()
      throw reached ?? error
    }
  }

  const toDoubtPolicy = (input: ModelInput): DoubtPolicy<ModelAnswer> => ({
    onDoubt: 'retry',
    report: (detail) => ({ status: 'error', error: toDoubtError(detail) }),
    toValue: () => {
      throw new TypeError('Expected a model call to be asked again, not to be settled by hand')
    },
    async recover({ noted, ...context }): Promise<Recovery<ModelAnswer>> {
      const { resume } = model
      if (resume === undefined || !isNoted(noted)) return { status: 'unknown' }
      try {
        const answer = await watched(input, context, (request, call) => resume(noted.responseId, request, call))
        return answer === undefined ? { status: 'unknown' } : { status: 'settled', value: answer }
      } catch (error) {
        return { status: 'settled', error } // to ask again would be paid again
      }
    },
  })

  return toStepLogic<ModelAnswer, ModelInput>(
    (input) => ({
      key: input.key,
      kind: 'model',
      name: base.model,
      effect: false,
      isAgain: input.isAgain,
      data: { messages: input.messages.length },
      provider: model.provider,
      toAsked: () => toRequest(input),
      policy: { doubt: toDoubtPolicy(input) },
    }),
    async (input, context) => {
      const answer = await watched(input, context, model)
      if (answer === undefined)
        throw new PerdureError('MODEL_BAD_ANSWER', `The model function of \`${base.model}\` gave no answer.`)
      const { doubted } = context
      if (doubted === 0) return answer
      // What was in flight at a crash may have been billed: nobody can tell any more. P12
      const inputTokens = estimateInputTokens(toRequest(input)) * doubted
      const costUsd = await model
        .costOf?.({ inputTokens, outputTokens: 0, cachedInputTokens: 0, reasoningTokens: 0 }, base.model)
        .catch(() => undefined)
      return { ...answer, lost: { calls: doubted, inputTokens, costUsd } }
    },
  )
}

const isNoted = (value: unknown): value is Noted =>
  typeof value === 'object' && value !== null && 'responseId' in value && typeof value.responseId === 'string'
