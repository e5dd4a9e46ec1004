import type { ModelInput, ModelLogic } from '../machines/agent.ts'
import type { ModelAnswer } from '../machines/conversation.ts'
import type { Model, ModelRequest } from './model.ts'
import { parseModelAnswer } from './model-answer.ts'
import type { ModelProgress } from './progress.ts'
import { toStepLogic } from './step.ts'

/** Actor logic that asks `model` for the next answer: what the slot `model` of the agent machine takes. A step without outside effect. */
export function fromModel(model: Model, request: Omit<ModelRequest, 'messages'>): ModelLogic {
  return toStepLogic<ModelAnswer, ModelInput>(
    ({ key, messages }) => ({ key, kind: 'model', name: request.model, effect: false, data: { messages: messages.length } }),
    async ({ messages }, { signal, progress }) => {
      const report = (value: ModelProgress): void => progress(value)
      const answer = await model(
        { ...request, messages },
        {
          signal,
          onText: (delta) => report({ type: 'text', delta }),
          onRetry: (retry) => report({ type: 'retry', ...retry }),
        },
      )
      return parseModelAnswer(request.model, answer)
    },
  )
}
